package protocol

import "testing"

func TestFrame(t *testing.T) {
	lim := Limits{MaxBody: 1000}
	host := Field{"Host", "a"}
	tests := []struct {
		name   string
		minor  int
		header Header
		want   framing
		status int
	}{
		{"plain", 1, Header{host}, framing{0, true, false}, 0},
		{"close", 1, Header{host, {"connection", "CLOSE"}}, framing{0, false, false}, 0},
		{"close in a list", 1, Header{host, {"Connection", "x , close,y"}}, framing{0, false, false}, 0},
		{"not quite close", 1, Header{host, {"Connection", "closed, un close"}}, framing{0, true, false}, 0},
		{"1.0", 0, Header{host}, framing{0, false, false}, 0},
		{"1.0 without Host", 0, nil, framing{0, false, false}, 0},
		{"1.0 keep-alive", 0, Header{{"Connection", "Keep-Alive"}}, framing{0, true, false}, 0},
		{"1.0 keep-alive and close", 0, Header{{"Connection", "Keep-Alive"}, {"Connection", "close"}}, framing{0, false, false}, 0},
		{"length", 1, Header{host, {"Content-Length", "1000"}}, framing{1000, true, false}, 0},
		{"length with zeros", 1, Header{host, {"CONTENT-LENGTH", "0010"}}, framing{10, true, false}, 0},
		{"chunked", 1, Header{host, {"Transfer-Encoding", "Chunked"}}, framing{-1, true, false}, 0},
		{"expects", 1, Header{host, {"Content-Length", "1"}, {"Expect", "100-Continue"}}, framing{1, true, true}, 0},
		{"expects, chunked", 1, Header{host, {"Transfer-Encoding", "chunked"}, {"expect", "100-continue"}}, framing{-1, true, true}, 0},
		{"expects nothing", 1, Header{host, {"Expect", "100-continue"}}, framing{0, true, false}, 0},
		{"expects in 1.0", 0, Header{{"Content-Length", "1"}, {"Expect", "100-continue"}}, framing{1, false, false}, 0},
		{"expects something else", 1, Header{host, {"Expect", "100-continue, x"}}, framing{}, 417},
		{"length too large", 1, Header{host, {"Content-Length", "1001"}}, framing{}, 413},
		{"length over 63 bits", 1, Header{host, {"Content-Length", "9223372036854775808"}}, framing{}, 413},
		{"length over 64 bits", 1, Header{host, {"Content-Length", "18446744073709551617"}}, framing{}, 413},
		{"no Host", 1, nil, framing{}, 400},
		{"two Hosts", 1, Header{host, {"HOST", "a"}}, framing{}, 400},
		{"two Hosts in 1.0", 0, Header{host, host}, framing{}, 400},
		{"bad Host in 1.0", 0, Header{{"Host", "a b"}}, framing{}, 400},
		{"length and coding", 1, Header{host, {"Content-Length", "0"}, {"Transfer-Encoding", "chunked"}}, framing{}, 400},
		{"coding in 1.0", 0, Header{{"Transfer-Encoding", "chunked"}}, framing{}, 400},
		{"two codings", 1, Header{host, {"Transfer-Encoding", "gzip"}, {"Transfer-Encoding", "chunked"}}, framing{}, 400},
		{"unknown coding", 1, Header{host, {"Transfer-Encoding", "xchunked"}}, framing{}, 400},
		{"unknown coding before chunked", 1, Header{host, {"Transfer-Encoding", "x, chunked"}}, framing{}, 501},
		{"unknown expectation, broken framing", 1, Header{host, {"Expect", "x"}, {"Content-Length", "x"}}, framing{}, 400},
		{"unknown expectation, no Host", 1, Header{{"Expect", "x"}}, framing{}, 400},
		{"coding list with a gap", 1, Header{host, {"Transfer-Encoding", ",chunked"}}, framing{}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := Request{Method: "POST", Minor: tt.minor, Header: tt.header}
			f, err := frame(&req, &lim)
			switch {
			case tt.status != 0:
				if err == nil || err.Status != tt.status || !err.Close || err.Reason == "" {
					t.Errorf("%+v, %+v; want %d", f, err, tt.status)
				}
			case err != nil || f != tt.want || req.Length != f.length:
				t.Errorf("%+v, length %d, %v; want %+v", f, req.Length, err, tt.want)
			}
		})
	}
}

// A target that names the host wins over the field (RFC 9112, section 3.2.2).
func TestFrameHostOfTarget(t *testing.T) {
	for _, tt := range []struct{ target, field, want string }{{"b:8", "a", "b:8"}, {"", "a", "a"}} {
		req := Request{Method: "GET", Minor: 1, Host: tt.target, Header: Header{{"Host", tt.field}}}
		if _, err := frame(&req, &Limits{}); err != nil || req.Host != tt.want {
			t.Errorf("%+v: %q, %v", tt, req.Host, err)
		}
	}
}

func TestFrameAllocates(t *testing.T) {
	lim := Limits{MaxURI: 1000, MaxHeader: 1 << 20, MaxBody: 1000}
	raw := []byte(browserHead)
	fields := make(Header, 0, 32)
	n := testing.AllocsPerRun(100, func() {
		var s headScan
		end, err := s.scan(raw, &lim)
		if err != nil {
			t.Fatal(err)
		}
		req := Request{Header: fields}
		if err := parseHead(string(raw[:end]), &req, &lim, both); err != nil {
			t.Fatal(err)
		}
		if _, err := frame(&req, &lim); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 {
		t.Errorf("%v allocations for a head, want 1: its string", n)
	}
}
