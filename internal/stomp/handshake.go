package stomp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// writeQueue is how many frames may wait for the writer.
const writeQueue = 64

// connect runs TLS and the handshake on plain and starts the connection's goroutines.
func connect(ctx context.Context, addr string, plain net.Conn, o Options) (*Conn, error) {
	// The end of ctx interrupts whatever the handshake is blocked in.
	stop := context.AfterFunc(ctx, func() { _ = plain.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	nc, err := secure(ctx, addr, plain, o)
	if err != nil {
		return nil, because(ctx, err)
	}
	c := &Conn{
		opts: o, addr: addr, nc: nc,
		out:      make(chan outbound, writeQueue),
		window:   make(chan struct{}, o.Window),
		receipts: map[string]*Receipt{},
		subs:     map[string]*Subscription{},
	}
	c.dec = frame.NewDecoder(&lifeReader{c: c}, o.Limits)
	if err := c.handshake(ctx); err != nil {
		return nil, because(ctx, err)
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.wg.Go(c.readLoop)
	c.wg.Go(c.writeLoop)
	return c, nil
}

// secure wraps nc in TLS when the options ask for it.
func secure(ctx context.Context, addr string, nc net.Conn, o Options) (net.Conn, error) {
	if o.TLS == nil {
		return nc, nil
	}
	config, err := o.TLS(ctx)
	if err != nil {
		return nil, err
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = hostOf(addr)
	}
	t := tls.Client(nc, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("tls handshake: %w", err)
	}
	return t, nil
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

func (c *Conn) handshake(ctx context.Context) error {
	offered := c.opts.MaxVersion
	if offered == "" {
		offered = frame.V12
	}
	if p := c.opts.Profile; p != nil && p.MaxVersion != "" && p.MaxVersion < offered {
		offered = p.MaxVersion
	}
	f, err := c.connectFrame(ctx, offered)
	if err != nil {
		return err
	}
	b, err := frame.Append(nil, f, frame.V12, c.opts.Limits)
	if err != nil {
		return fmt.Errorf("writing CONNECT: %w", err)
	}
	if _, err := c.nc.Write(b); err != nil {
		return fmt.Errorf("writing CONNECT: %w", err)
	}
	answer, err := c.dec.Decode()
	if err != nil {
		return fmt.Errorf("waiting for CONNECTED: %w", err)
	}
	return c.accept(answer, offered)
}

func (c *Conn) connectFrame(ctx context.Context, offered frame.Version) (*frame.Frame, error) {
	f := &frame.Frame{Command: frame.Connect}
	if offered > frame.V10 {
		host := c.opts.Host
		if p := c.opts.Profile; host == "" && p != nil {
			host = p.VirtualHost
		}
		if host == "" {
			host = hostOf(c.addr)
		}
		ms := strconv.FormatInt(c.opts.HeartBeat.Milliseconds(), 10)
		f.Header.Add(frame.HeaderAcceptVersion, acceptVersions(offered))
		f.Header.Add(frame.HeaderHost, host)
		f.Header.Add(frame.HeaderHeartBeat, ms+","+ms)
	}
	if c.opts.ClientID != "" {
		f.Header.Add(frame.HeaderClientID, c.opts.ClientID)
	}
	if c.opts.Credentials == nil {
		return f, nil
	}
	who, err := c.opts.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	f.Header.Add(frame.HeaderLogin, who.Login)
	f.Header.Add(frame.HeaderPasscode, who.Passcode)
	return f, nil
}

func acceptVersions(highest frame.Version) string {
	if highest == frame.V12 {
		return "1.0,1.1,1.2"
	}
	return "1.0,1.1"
}

// accept takes over what the broker's first frame says.
func (c *Conn) accept(f *frame.Frame, offered frame.Version) error {
	if f.Command == frame.Error {
		return serverError(f)
	}
	if f.Command != frame.Connected {
		return fmt.Errorf("broker answered CONNECT with %s", f.Command)
	}
	c.version = frame.V10
	if v, ok := f.Header.Lookup(frame.HeaderVersion); ok {
		version, err := frame.ParseVersion(v)
		if err != nil || version > offered {
			return fmt.Errorf("broker chose stomp version %q, which was not offered", v)
		}
		c.version = version
	}
	c.dec.SetVersion(c.version)
	c.dec.ReadPast() // a bad message must not cost the connection, which would only bring it again
	c.server = f.Header.Get(frame.HeaderServer)
	c.session = f.Header.Get(frame.HeaderSession)
	c.profile = ProfileOf(c.server)
	if c.opts.Profile != nil {
		c.profile = *c.opts.Profile
	}
	if c.profile.MaxVersion == "" {
		c.profile.MaxVersion = frame.V12
	}
	c.limits = c.opts.Limits
	if c.profile.MaxBody > 0 {
		c.limits.Body = min(c.limits.Body, c.profile.MaxBody)
	}
	var err error
	c.beats, err = agree(c.opts.HeartBeat, f.Header.Get(frame.HeaderHeartBeat))
	return err
}

// beats are the agreed heart-beats of a connection; zero means none in that direction.
type beats struct {
	send   time.Duration // the peer wants to hear from this side at least so often
	expect time.Duration // the peer promised to be heard at least so often
}

// silence is how long the peer may be silent before it is taken for dead, 0 for ever. ActiveMQ
// skips the heart-beat that follows a frame, so that a silence of 2.0 intervals is normal (2.3 were
// measured at 200 ms on a busy machine); half an interval, or half a second, is for the network.
func (b beats) silence() time.Duration {
	if b.expect <= 0 {
		return 0
	}
	return 2*b.expect + max(b.expect/2, 500*time.Millisecond)
}

// agree computes them from what this side offers in both directions and the peer's header:
// "<can send>,<wants>" in milliseconds, absent meaning 0,0.
func agree(own time.Duration, header string) (beats, error) {
	if header == "" || own <= 0 {
		return beats{}, nil
	}
	first, second, ok := strings.Cut(header, ",")
	can, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 31)
	wants, err2 := strconv.ParseUint(strings.TrimSpace(second), 10, 31)
	if !ok || err1 != nil || err2 != nil {
		return beats{}, fmt.Errorf("broker sent heart-beat %.40q, which is not two numbers", header)
	}
	var b beats
	if wants > 0 {
		b.send = max(own, time.Duration(wants)*time.Millisecond)
	}
	if can > 0 {
		b.expect = max(own, time.Duration(can)*time.Millisecond)
	}
	return b, nil
}
