package remotesuite

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/quic-go/quic-go"
)

// What the first byte of a stream asks of the server.
const (
	askSink = 's' // followed by the size of a window; each is acknowledged with a byte
	askEcho = 'e'
)

const (
	lengthBytes = 4
	batchBytes  = 32 << 10
	protocol    = "versus-raw"
)

func rawQUICConfig() *quic.Config {
	const stream, conn = 6 << 20, 24 << 20
	return &quic.Config{
		InitialStreamReceiveWindow: stream, MaxStreamReceiveWindow: stream,
		InitialConnectionReceiveWindow: conn, MaxConnectionReceiveWindow: conn,
	}
}

func listenQUIC(ctx context.Context, w work, node int) (string, func(), error) {
	server, _, err := mutualTLS(w.Certificates, node, protocol)
	if err != nil {
		return "", nil, err
	}
	l, err := quic.ListenAddr("127.0.0.1:0", server, rawQUICConfig())
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				for {
					stream, err := conn.AcceptStream(ctx)
					if err != nil {
						return
					}
					go serveRaw(stream)
				}
			}()
		}
	}()
	return l.Addr().String(), func() { _ = l.Close() }, nil
}

func listenTLS(w work, node int) (string, func(), error) {
	server, _, err := mutualTLS(w.Certificates, node, protocol)
	if err != nil {
		return "", nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveRaw(conn)
		}
	}()
	return l.Addr().String(), func() { _ = l.Close() }, nil
}

func serveRaw(s io.ReadWriter) {
	in := bufio.NewReaderSize(s, 2*batchBytes)
	ask, err := in.ReadByte()
	if err != nil {
		return
	}
	if ask == askEcho {
		buf := make([]byte, 2*batchBytes)
		for {
			n, err := in.Read(buf)
			if err != nil {
				return
			}
			if _, err := s.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	var head [lengthBytes]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return
	}
	each := int(binary.BigEndian.Uint32(head[:]))
	for n := 1; ; n++ {
		head, err := in.Peek(lengthBytes)
		if err != nil {
			return
		}
		if _, err := in.Discard(lengthBytes + int(binary.BigEndian.Uint32(head))); err != nil {
			return
		}
		if n%each == 0 {
			if _, err := s.Write([]byte{1}); err != nil {
				return
			}
		}
	}
}

// rawClient is an endpoint over streams without actors.
type rawClient struct {
	open    func(address string) (io.ReadWriter, func(), error) // a connection with one stream
	w       work
	main    io.ReadWriter
	mu      sync.Mutex
	closers []func()
	control io.ReadWriter // echoes, opened when it is needed
}

func dialRaw(w work) (endpoint, error) {
	_, conf, err := mutualTLS(w.Certificates, 1, protocol)
	if err != nil {
		return nil, err
	}
	c := &rawClient{w: w}
	if w.System == rawQUIC {
		c.open = func(address string) (io.ReadWriter, func(), error) { return openQUIC(address, conf) }
	} else {
		c.open = func(address string) (io.ReadWriter, func(), error) {
			conn, err := tls.Dial("tcp", address, conf)
			if err != nil {
				return nil, nil, err
			}
			return conn, func() { _ = conn.Close() }, nil
		}
	}
	c.main, err = c.stream(w.Addresses[0])
	return c, err
}

func openQUIC(address string, conf *tls.Config) (io.ReadWriter, func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := quic.DialAddr(ctx, address, conf, rawQUICConfig())
	if err != nil {
		return nil, nil, err
	}
	stream, err := conn.OpenStreamSync(ctx)
	return stream, func() { _ = conn.CloseWithError(0, "") }, err
}

func (c *rawClient) stream(address string) (io.ReadWriter, error) {
	s, stop, err := c.open(address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closers = append(c.closers, stop)
	return s, nil
}

func (c *rawClient) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stop := range c.closers {
		stop()
	}
}

func (c *rawClient) flood(size int, _ bool, stop <-chan struct{}, acked func()) error {
	n := window(size)
	if _, err := c.main.Write(binary.BigEndian.AppendUint32([]byte{askSink}, uint32(n))); err != nil {
		return err
	}
	acks := make(chan struct{}, 4)
	go func() {
		for b := make([]byte, 1); ; {
			if _, err := io.ReadFull(c.main, b); err != nil {
				return
			}
			acked()
			acks <- struct{}{}
		}
	}()
	var batch []byte
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, size)...)
	for sent := 0; ; sent++ {
		full := sent%n == 0 && sent > n
		if full || len(batch) >= batchBytes {
			if _, err := c.main.Write(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if full {
			if err := await(acks); err != nil {
				return err
			}
			select {
			case <-stop:
				return nil
			default:
			}
		}
		batch = append(batch, frame...)
	}
}

func (c *rawClient) roundTrip(size int, control bool) (err error) {
	if c.control == nil {
		c.control = c.main
		if control {
			if c.control, err = c.stream(c.w.Addresses[0]); err != nil {
				return err
			}
		}
		if _, err := c.control.Write([]byte{askEcho}); err != nil {
			return err
		}
	}
	return echoed(c.control, size)
}

func echoed(s io.ReadWriter, size int) error {
	frame := make([]byte, lengthBytes+size)
	if _, err := s.Write(frame); err != nil {
		return err
	}
	_, err := io.ReadFull(s, frame)
	return err
}

func (c *rawClient) pipeline(size, requests int, stop <-chan struct{}, answered func()) error {
	frame := make([]byte, lengthBytes+size)
	first := []byte{askEcho}
	for range requests {
		first = append(first, frame...)
	}
	if _, err := c.main.Write(first); err != nil {
		return err
	}
	in := make([]byte, 2*batchBytes)
	for partial := 0; ; {
		n, err := c.main.Read(in)
		if err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
		partial += n
		whole := partial / len(frame)
		partial -= whole * len(frame)
		out := in[:0]
		for range whole {
			answered()
			out = append(out, frame...)
		}
		if _, err := c.main.Write(out); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
}

func (c *rawClient) connect() error {
	for i, address := range c.w.Addresses {
		s := c.main
		if i > 0 {
			var err error
			if s, err = c.stream(address); err != nil {
				return err
			}
		}
		if _, err := s.Write([]byte{askEcho}); err != nil {
			return err
		}
		if err := echoed(s, 16); err != nil {
			return err
		}
	}
	return nil
}
