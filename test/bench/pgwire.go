package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// pgConn is a client of PostgreSQL's protocol 3.0 that can do what the benchmark
// needs: no password, texts as parameters, texts as results.
type pgConn struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	// each is called with the columns of each row, if it is set; wait bounds one
	// answer, patience if it is 0.
	each func(columns []string)
	wait time.Duration
}

func dialPG(ctx context.Context, network, address, user, database string) (*pgConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p := &pgConn{conn: conn, in: bufio.NewReader(conn)}
	body := binary.BigEndian.AppendUint32(nil, 3<<16)
	body = append(body, "user\x00"+user+"\x00database\x00"+database+"\x00\x00"...)
	p.out = binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	p.out = append(p.out, body...)
	if _, err := p.flush(); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to PostgreSQL at %s: %w", address, err), conn.Close())
	}
	return p, nil
}

func (p *pgConn) close() { _ = p.conn.Close() }

// message appends one message to what is sent next.
func (p *pgConn) message(kind byte, body string) {
	p.out = append(p.out, kind)
	p.out = binary.BigEndian.AppendUint32(p.out, uint32(len(body)+4))
	p.out = append(p.out, body...)
}

// query runs statements and returns the first column of the last row.
func (p *pgConn) query(sql string) (string, error) {
	p.message('Q', sql+"\x00")
	return p.flush()
}

// prepare names a statement for execute.
func (p *pgConn) prepare(name, sql string) error {
	p.message('P', name+"\x00"+sql+"\x00\x00\x00")
	p.message('S', "")
	_, err := p.flush()
	return err
}

// execute runs a prepared statement in a transaction of its own and returns the
// first column of the last row.
func (p *pgConn) execute(name string, params ...string) (string, error) {
	var b strings.Builder
	number := func(n uint64, bytes int) {
		b.Write(binary.BigEndian.AppendUint64(nil, n)[8-bytes:])
	}
	b.WriteString("\x00" + name + "\x00")
	number(0, 2) // all parameters are texts
	number(uint64(len(params)), 2)
	for _, v := range params {
		number(uint64(len(v)), 4)
		b.WriteString(v)
	}
	number(0, 2) // all results are texts
	p.message('B', b.String())
	p.message('E', "\x00\x00\x00\x00\x00")
	p.message('S', "")
	return p.flush()
}

// flush sends what was appended and reads up to ReadyForQuery.
func (p *pgConn) flush() (value string, err error) {
	_ = p.conn.SetDeadline(time.Now().Add(cmp.Or(p.wait, patience)))
	_, err = p.conn.Write(p.out)
	p.out = p.out[:0]
	if err != nil {
		return "", err
	}
	var failed error
	for {
		var head [5]byte
		if _, err := io.ReadFull(p.in, head[:]); err != nil {
			return "", errors.Join(failed, err)
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(p.in, body); err != nil {
			return "", errors.Join(failed, err)
		}
		switch head[0] {
		case 'Z':
			return value, failed
		case 'E':
			failed = errors.New(strings.ReplaceAll(string(body), "\x00", " "))
		case 'R':
			if method := binary.BigEndian.Uint32(body); method != 0 {
				failed = fmt.Errorf("the server asks for authentication %d", method)
			}
		case 'D':
			if n := int32(binary.BigEndian.Uint32(body[2:])); n >= 0 {
				value = string(body[6 : 6+n])
			}
			if p.each != nil {
				p.each(columnsOf(body))
			}
		}
	}
}

// columnsOf returns the columns of a row, those that are null as "null".
func columnsOf(row []byte) (columns []string) {
	n, rest := binary.BigEndian.Uint16(row), row[2:]
	for range n {
		size := int32(binary.BigEndian.Uint32(rest))
		if rest = rest[4:]; size < 0 {
			columns = append(columns, "null")
			continue
		}
		columns, rest = append(columns, string(rest[:size])), rest[size:]
	}
	return columns
}
