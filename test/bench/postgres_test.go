package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// postgres is two clusters with logical replication, durable as they come: fsync
// and synchronous_commit are on. Objects are a table of id and jsonb.
type postgres struct {
	ctx      context.Context
	sides    [2]pgSide
	one, ask *pgConn
	bodies   [][]byte
}

type pgSide struct {
	process
	dir, port string
}

func (*postgres) name() string    { return "PostgreSQL 15, logical replication" }
func (*postgres) promise() string { return "on the disk (fsync, synchronous_commit)" }
func (p *postgres) data() string  { return filepath.Join(p.sides[0].dir, "data") }

func (p *postgres) start(w *world) error {
	p.ctx, p.bodies = w.ctx, documents(256, objectBytes)
	bin, err := postgresPrograms()
	if err != nil {
		return err
	}
	for i := range p.sides {
		if err := p.sides[i].start(w, bin); err != nil {
			return err
		}
	}
	return p.replicate()
}

// postgresPrograms returns the directory of the newest PostgreSQL.
func postgresPrograms() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("apt-get install --no-install-recommends postgresql-15")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// start makes a cluster and runs it, with options of the server besides.
func (s *pgSide) start(w *world, bin string, options ...string) (err error) {
	if s.dir, _, err = w.fresh("postgres"); err != nil {
		return err
	}
	if err := giveAway(s.dir); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	initdb := exec.CommandContext(w.ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "bench", "--auth=trust", "--no-locale", "-E", "UTF8")
	initdb.Dir, initdb.SysProcAttr = s.dir, unprivileged()
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	address, err := freeAddress(w.ctx)
	if err != nil {
		return err
	}
	_, s.port, _ = strings.Cut(address, ":")
	options = append([]string{"-D", data, "-p", s.port, "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "wal_level=logical", "-c", "max_connections=200"}, options...)
	server := exec.CommandContext(w.ctx, filepath.Join(bin, "postgres"), options...)
	server.Dir, server.SysProcAttr = s.dir, unprivileged()
	s.process, err = launch(server, filepath.Join(w.dir, "postgres-"+s.port+".log"))
	return err
}

func (s *pgSide) dial(ctx context.Context) (*pgConn, error) {
	return dialPG(ctx, "tcp", "127.0.0.1:"+s.port, "bench", "postgres")
}

func (p *postgres) replicate() error {
	conns := [2]*pgConn{}
	for i := range p.sides {
		err := until(p.ctx, "PostgreSQL to start", func() (ok bool, err error) {
			conns[i], err = p.sides[i].dial(p.ctx)
			return err == nil, err
		})
		if err != nil {
			return p.sides[i].complaint(err)
		}
		if _, err := conns[i].query("CREATE TABLE objects (id text PRIMARY KEY, body jsonb NOT NULL)"); err != nil {
			return err
		}
	}
	p.one, p.ask = conns[0], conns[1]
	if _, err := p.one.query("CREATE PUBLICATION bench FOR TABLE objects"); err != nil {
		return err
	}
	subscribe := fmt.Sprintf("CREATE SUBSCRIPTION bench CONNECTION 'host=127.0.0.1 port=%s user=bench dbname=postgres' PUBLICATION bench", p.sides[0].port)
	if _, err := p.ask.query(subscribe); err != nil {
		return err
	}
	if err := p.one.prepare("put", putSQL); err != nil {
		return err
	}
	if err := p.ask.prepare("has", "SELECT 1 FROM objects WHERE id = $1"); err != nil {
		return err
	}
	if err := p.put("first"); err != nil {
		return err
	}
	return until(p.ctx, "the subscription to work", func() (bool, error) { return p.has("first") })
}

const putSQL = "INSERT INTO objects VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body"

func (p *postgres) stop() {
	for _, s := range p.sides {
		s.stop()
	}
}

// stop ends the cluster immediately: a clean end would wait for the subscription.
func (s *pgSide) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait()
}

// pgWriter is one client.
type pgWriter struct {
	*pgConn
	bodies [][]byte
	n      int
}

func (p *pgWriter) call(context.Context) error {
	p.n++
	_, err := p.execute("put", newID(), string(p.bodies[p.n%len(p.bodies)]))
	return err
}

func (p *postgres) writer() (caller, error) {
	c, err := p.sides[0].dial(p.ctx)
	if err != nil {
		return nil, err
	}
	return &pgWriter{pgConn: c, bodies: p.bodies}, c.prepare("put", putSQL)
}

func (p *postgres) put(id string) error {
	_, err := p.one.execute("put", id, string(p.bodies[0]))
	return err
}

func (p *postgres) has(id string) (bool, error) {
	value, err := p.ask.execute("has", id)
	return value == "1", err
}

func (p *postgres) count() (int, error) {
	value, err := p.ask.query("SELECT count(*) FROM objects")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(value)
}

func (p *postgres) settle() error {
	_, err := p.one.query("CHECKPOINT")
	return err
}

// servant is the user that servers run as which refuse to run as root.
func servant() (uid, gid int) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return uid, gid
		}
	}
	return 65534, 65534
}

func unprivileged() *syscall.SysProcAttr {
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	uid, gid := servant()
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func giveAway(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid := servant()
	return os.Chown(dir, uid, gid)
}
