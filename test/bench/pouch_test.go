package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// pouch is two pouchdb-servers on LevelDB, replicating continuously. It comes
// from npm, into a cache outside the tree.
type pouch struct {
	ctx      context.Context
	sides    [2]pouchSide
	one, ask *httpConn
	bodies   [][]byte
}

type pouchSide struct {
	process
	dir, address string
}

func (*pouch) name() string    { return "PouchDB server 4.2" }
func (*pouch) promise() string { return "in the kernel's memory: LevelDB does not sync" }
func (p *pouch) data() string  { return p.sides[0].dir }
func (*pouch) settle() error   { return nil }

// installPouch returns the program, and has npm fetch it first if need be.
func installPouch(ctx context.Context) (string, error) {
	const remedy = "install Node.js with npm, and have them reach the npm registry"
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "vesper-bench", "pouchdb")
	program := filepath.Join(dir, "node_modules", ".bin", "pouchdb-server")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "pouchdb@9", "pouchdb-server@4")
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s (%w: %.300s)", remedy, err, strings.ReplaceAll(string(out), "\n", " "))
	}
	return program, nil
}

func (p *pouch) start(w *world) error {
	p.ctx, p.bodies = w.ctx, documents(256, objectBytes)
	program, err := installPouch(w.ctx)
	if err != nil {
		return err
	}
	for i := range p.sides {
		if err := p.sides[i].start(w, program); err != nil {
			return err
		}
	}
	if p.one, err = p.sides[0].dial(w.ctx); err != nil {
		return err
	}
	if p.ask, err = p.sides[1].dial(w.ctx); err != nil {
		return err
	}
	order := fmt.Sprintf(`{"source":"http://%s/bench","target":"http://%s/bench","continuous":true}`, p.sides[0].address, p.sides[1].address)
	status, answer, err := p.one.do("POST", "/_replicate", []byte(order))
	return want(status, answer, err, 200, 202)
}

func (s *pouchSide) start(w *world, program string) (err error) {
	if s.dir, _, err = w.fresh("pouch"); err != nil {
		return err
	}
	if s.address, err = freeAddress(w.ctx); err != nil {
		return err
	}
	_, port, _ := strings.Cut(s.address, ":")
	cmd := exec.CommandContext(w.ctx, program, "--port", port, "--dir", filepath.Join(s.dir, "data"), "--no-stdout-logs")
	cmd.Dir = s.dir
	if s.process, err = launch(cmd, filepath.Join(w.dir, "pouch-"+port+".log")); err != nil {
		return err
	}
	err = until(w.ctx, "PouchDB to start", func() (bool, error) {
		c, err := s.dial(w.ctx)
		if err != nil {
			return false, err
		}
		defer c.close()
		status, answer, err := c.do("PUT", "/bench", nil)
		return err == nil && status == 201, want(status, answer, err, 201)
	})
	if err != nil {
		return s.complaint(err)
	}
	return nil
}

func (s *pouchSide) dial(ctx context.Context) (*httpConn, error) { return dialHTTP(ctx, s.address) }

func (p *pouch) stop() {
	for _, s := range p.sides {
		s.stop()
	}
}

func (p *pouch) writer() (caller, error) {
	c, err := p.sides[0].dial(p.ctx)
	if err != nil {
		return nil, err
	}
	return &putter{httpConn: c, prefix: "/bench/", bodies: p.bodies}, nil
}

func (p *pouch) put(id string) error {
	status, answer, err := p.one.do("PUT", "/bench/"+id, p.bodies[0])
	return want(status, answer, err, 201)
}

func (p *pouch) has(id string) (bool, error) { return there(p.ask.do("GET", "/bench/"+id, nil)) }

func (p *pouch) count() (int, error) {
	status, answer, err := p.ask.do("GET", "/bench", nil)
	if err := want(status, answer, err, 200); err != nil {
		return 0, err
	}
	var info struct {
		Count *int `json:"doc_count"`
	}
	if err := json.Unmarshal(answer, &info); err != nil || info.Count == nil {
		return 0, errors.Join(err, fmt.Errorf("the database says %s", answer))
	}
	return *info.Count, nil
}
