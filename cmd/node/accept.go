package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"vesperdb.io/vesper/internal/branch"
)

const (
	// acceptPatience is how long a node may take to answer, acceptBytes how long
	// its answer may be.
	acceptPatience = 30 * time.Second
	acceptBytes    = 1 << 20
)

func acceptCommand(stdout io.Writer) *cobra.Command {
	var node string
	cmd := &cobra.Command{
		Use:   "accept [--node URL]",
		Short: "Tell a running node that its store holds all there is of its branch",
		Long: "accept tells a running node that its store holds all there is of its branch.\n\n" +
			"A node whose volume was copied, restored from a backup or lost refuses writes, since its branch may have\n" +
			"written more than it holds: a write would take a number that another changeset has already. Give the node a\n" +
			"new branch id instead if you can (vesper-node adopt). Accept the branch only when you know that no copy of the\n" +
			"node runs, and that no other node, broker, bundle or volume that may come back holds more of the branch.",
		Example: "  vesper-node accept --node http://localhost:8000",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return acceptBranch(cmd.Context(), node, stdout) },
	}
	cmd.Flags().StringVar(&node, "node", "http://localhost:8000", "the node's `URL`")
	addCredentials(cmd)
	return cmd
}

// acceptAnswer is what a node answers: the outcome, or a problem's detail.
type acceptAnswer struct {
	Branch        branch.ID       `json:"branch"`
	Revision      branch.Revision `json:"revision"`
	Writable      bool            `json:"writable"`
	WritesRefused string          `json:"writesRefused"`
	Detail        string          `json:"detail"`
}

func acceptBranch(ctx context.Context, node string, stdout io.Writer) error {
	base, err := url.Parse(node)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return usageError{fmt.Errorf("--node %q is no URL of a node: write it like http://localhost:8000", node)}
	}
	out, err := postAccept(ctx, base.JoinPath("/v1/branch/accept").String())
	if err != nil {
		return fmt.Errorf("accepting the branch of the node at %s: %w", node, err)
	}
	_, err = fmt.Fprintf(stdout, "branch %s is accepted at revision %s", out.Branch, out.Revision)
	if err == nil && !out.Writable {
		_, err = fmt.Fprintf(stdout, "; writes are still refused: %s", out.WritesRefused)
	}
	if err == nil {
		_, err = fmt.Fprintln(stdout)
	}
	return err
}

func postAccept(ctx context.Context, to string) (out acceptAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, acceptPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, http.NoBody)
	if err != nil {
		return out, err
	}
	resp, err := clientOf(ctx).Do(req)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, acceptBytes))
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return out, fmt.Errorf("it answered %s, and not as a node does: %.200q", resp.Status, bytes.TrimSpace(body))
	}
	if resp.StatusCode != http.StatusOK {
		return out, errors.New(out.Detail)
	}
	return out, nil
}
