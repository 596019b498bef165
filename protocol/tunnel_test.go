package protocol

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// tunnelEcho sends back what it gets, early data first.
func tunnelEcho(client *net.TCPConn, early []byte) (sent, received int64, err error) {
	if _, err := client.Write(early); err != nil {
		return 0, 0, err
	}
	n, err := io.Copy(client, client)
	return int64(len(early)) + n, int64(len(early)) + n, err
}

func TestTunnel(t *testing.T) {
	end := &stream{Reader: strings.NewReader("")}
	s := serve(t, func(x *Exchange) error {
		switch {
		case x.Req.Host == "refused:1":
			return Failf(403, "no")
		case x.Req.Host == "bytes:1":
			x.Res.Body = Bytes([]byte("not a tunnel"))
		case x.Req.Host == "panic:1":
			x.Res.Body = Tunnel(func(*net.TCPConn, []byte) (int64, int64, error) { panic("in the tunnel") }, nil)
		default:
			x.Res.Body = Tunnel(tunnelEcho, end)
		}
		return nil
	})
	t.Run("early data", func(t *testing.T) {
		c := s.dial()
		c.send(crlf("CONNECT far:1 HTTP/1.1", "Host: far:1") + "early ")
		res := c.head("CONNECT")
		if res.StatusCode != 200 || res.ContentLength > 0 || res.TransferEncoding != nil || res.Header.Get("Connection") != "" {
			t.Fatalf("%+v", res)
		}
		c.send("and late")
		c.CloseWrite()
		if b, err := io.ReadAll(c.br); string(b) != "early and late" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		if o := s.obs.outcomes(t, 1)[0]; o.sent != 14 || o.received != 14 || o.err != nil || end.closes() != 1 {
			t.Errorf("%+v, closed %d times", o, end.closes())
		}
	})
	t.Run("refused", func(t *testing.T) {
		c := s.dial()
		c.send(crlf("CONNECT refused:1 HTTP/1.1", "Host: refused:1") + get())
		c.want(403, "")
		c.closed() // what follows is not read as a request
	})
	t.Run("2xx without a tunnel", func(t *testing.T) {
		c := s.dial()
		c.send(crlf("CONNECT bytes:1 HTTP/1.1", "Host: bytes:1"))
		c.want(500, "")
		c.closed()
	})
	t.Run("tunnel for a GET", func(t *testing.T) {
		before := end.closes()
		c := s.dial()
		c.send(get())
		c.want(500, "")
		c.closed()
		if end.closes() != before+1 {
			t.Error("the other end was left open")
		}
	})
	t.Run("panic", func(t *testing.T) {
		n := len(s.obs.outcomes(t, 0))
		c := s.dial()
		c.send(crlf("CONNECT panic:1 HTTP/1.1", "Host: panic:1"))
		c.head("CONNECT")
		c.closed()
		if _, ok := errors.AsType[*PanicError](s.obs.outcomes(t, n+1)[n].err); !ok {
			t.Error("no panic was reported")
		}
	})
}
