package server

import (
	_ "embed" // the document
	"net/http"
	"strconv"
)

// openAPI describes every route: see TestOpenAPI, which holds it against the server.
//
//go:embed openapi.json
var openAPI []byte

// getOpenAPI answers with the OpenAPI document of this interface.
func (s *Server) getOpenAPI(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", typeJSON)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(openAPI)))
	_, _ = w.Write(openAPI) // an error means that the client is gone
	return nil
}
