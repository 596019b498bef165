package instance

import (
	"strings"
	"testing"

	"sited/protocol"
)

func acceptEncoding(lines ...string) (h protocol.Header) {
	h.Add("Accept", "*/*")
	for _, line := range lines {
		h.Add("accept-encoding", line)
	}
	return h
}

// TestRFC9110Section1253 is the Accept-Encoding field, rule by rule: what is sent
// of br, zstd and gzip, the most wanted first. "" is identity, "!" identity although
// the client does not want it, and "!" before a name says that it does not want
// identity.
func TestRFC9110Section1253(t *testing.T) {
	all := []string{"br", "zstd", "gzip"}
	gzip := []string{"gzip"}
	for _, c := range []struct {
		rule      string
		lines     []string
		available []string
		want      string
	}{
		{"no field: any coding is acceptable, we send identity", nil, all, ""},
		{"an empty field: no coding is wanted", []string{""}, all, ""},
		{"an empty field: no coding is wanted", []string{" \t"}, all, ""},
		{"nothing is available", []string{"gzip"}, nil, ""},
		{"nothing is available", []string{"identity;q=0"}, nil, "!"},

		{"listed: acceptable", []string{"gzip"}, all, "gzip"},
		{"not listed: not acceptable", []string{"deflate"}, all, ""},
		{"not listed: not acceptable", []string{"gzipped, xbr, zst"}, all, ""},
		{"what is alike: our order", []string{"gzip, deflate, br, zstd"}, all, "br"},
		{"what is alike: our order", []string{"gzip, deflate, br, zstd"}, gzip, "gzip"},
		{"what is alike: our order", []string{"gzip,deflate"}, all, "gzip"},
		{"what is alike: our order", []string{"gzip;q=0.5, zstd;q=0.5"}, all, "zstd"},
		{"8.4.1 names are case-insensitive", []string{"GZip"}, all, "gzip"},
		{"8.4.1 but ASCII", []string{"z\u017ftd"}, all, ""},
		{"8.4.1.3 x-gzip is gzip", []string{"x-gzip"}, all, "gzip"},
		{"8.4.1.3 x-gzip is gzip", []string{"X-GZIP;q=0.5"}, all, "gzip"},
		{"8.4.1.1 x-compress is compress", []string{"x-compress"}, []string{"compress"}, "compress"},
		{"8.4.1 no other has two names", []string{"x-br, x-zstd"}, all, ""},
		{"5.3 lines are one list", []string{"deflate", "gzip"}, all, "gzip"},
		{"5.3 lines are one list", []string{"gzip", "br"}, all, "br"},
		{"5.6.1.2 empty elements", []string{" ,, gzip\t,"}, all, "gzip"},

		{"12.4.2 the highest weight", []string{"br;q=0.1, gzip;q=0.9"}, all, "gzip"},
		{"12.4.2 the highest weight", []string{"br;q=0.001, gzip;q=0.002"}, all, "gzip"},
		{"12.4.2 the highest weight", []string{"br;q=0.8, gzip"}, all, "gzip"},
		{"12.4.2 the highest weight", []string{"br;q=0.8", "gzip;q=1.000"}, all, "gzip"},
		{"12.4.2 0 is not acceptable", []string{"br;q=0, gzip;q=0.1"}, all, "gzip"},
		{"12.4.2 0 is not acceptable", []string{"gzip;q=0"}, all, ""},
		{"12.4.2 0 is not acceptable", []string{"gzip;q=0.000"}, all, ""},
		{"12.4.2 white space around ;", []string{"br ;\tq=0.5 , gzip; q=0.6"}, all, "gzip"},
		{"12.4.2 q in any case", []string{"br;Q=0.5, gzip;Q=0.6"}, all, "gzip"},
		{"12.4.2 0. and 1. are weights", []string{"br;q=0., gzip;q=1."}, all, "gzip"},

		{"* is all that are not listed", []string{"*"}, all, "br"},
		{"* is all that are not listed", []string{"br;q=0, *"}, all, "zstd"},
		{"* is all that are not listed", []string{"*;q=0.1, gzip;q=0.2"}, all, "gzip"},
		{"* is all that are not listed", []string{"*;q=0.5, gzip;q=0.2"}, all, "br"},
		{"* is all that are not listed", []string{"gzip, *;q=0"}, all, "!gzip"},
		{"* is all that are not listed", []string{"deflate, *;q=0"}, all, "!"},
		{"* is all that are not listed", []string{"x-gzip;q=0, *"}, gzip, ""},

		{"identity is acceptable unless it is said not to be", []string{"deflate"}, gzip, ""},
		{"identity is acceptable unless it is said not to be", []string{"gzip, identity;q=0"}, all, "!gzip"},
		{"identity is acceptable unless it is said not to be", []string{"gzip, *;q=0, identity"}, all, "gzip"},
		{"identity is acceptable unless it is said not to be", []string{"gzip;q=0, *;q=0, identity;q=0.1"}, all, ""},
		{"identity wins with a higher weight", []string{"identity, gzip;q=0.5"}, all, ""},
		{"identity wins with a higher weight", []string{"Identity;q=0.6, *;q=0.5"}, all, ""},
		{"identity does not win with the same weight", []string{"identity, gzip"}, all, "gzip"},
		{"identity does not win with the same weight", []string{"identity;q=0.5, gzip;q=0.5"}, all, "gzip"},
		{"identity does not win with no weight of its own", []string{"gzip;q=0.001"}, all, "gzip"},
		{"nothing is acceptable: SHOULD send without a coding", []string{"identity;q=0"}, all, "!"},
		{"nothing is acceptable: SHOULD send without a coding", []string{"*;q=0"}, all, "!"},
		{"nothing is acceptable: SHOULD send without a coding", []string{"br;q=0, identity;q=0, deflate"}, all, "!"},

		// What is malformed.
		{"a weight that is none: not used", []string{"gzip;q=2"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q=1.001"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q=0.1234"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q=-1"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q=.5"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q=00"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q=0,5"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q=0x1"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q="}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q = 1"}, all, ""},
		{"a weight that is none: not used", []string{"gzip;q=1;q=1"}, all, ""},
		{"a weight that is none: not used, nor by *", []string{"br;q=x, *"}, []string{"br"}, ""},
		{"a weight that is none: forbids nothing", []string{"identity;q=x"}, all, ""},
		{"a weight that is none: forbids nothing", []string{"*;q=x"}, all, ""},
		{"a parameter that is none", []string{"gzip;level=9;q=1"}, all, ""},
		{"the others are read on", []string{"br;q=2, gz ip, ;q=1, gzip;q=0.1"}, all, "gzip"},
		{"no token", []string{"\"gzip\", gzip/1, gz\x80"}, all, ""},
		{"of two for the same the lower", []string{"gzip;q=0, gzip"}, all, ""},
		{"of two for the same the lower", []string{"gzip, x-gzip;q=0"}, all, ""},
	} {
		coding, identityOK := acceptedCoding(acceptEncoding(c.lines...), c.available)
		if !identityOK {
			coding = "!" + coding
		}
		if coding != c.want {
			t.Errorf("%s: %q of %q: %q, want %q", c.rule, c.lines, c.available, coding, c.want)
		}
	}
	many := strings.Split("a b c d e f g h i j", " ")
	if coding, _ := acceptedCoding(acceptEncoding("i, j;q=0.5, h;q=0.1"), many); coding != "h" {
		t.Errorf("of too many codings: %q, want the last that is looked at", coding)
	}
}

func TestAcceptedCodingAllocatesNothing(t *testing.T) {
	available := []string{"br", "zstd", "gzip"}
	for _, lines := range [][]string{
		nil,
		{"gzip, deflate, br, zstd"},
		{"br;q=1.0, gzip;q=0.8, *;q=0.1"},
		{"identity;q=0", "x-gzip;q=0.5"},
		{"a;b;c, q=1"},
	} {
		h := acceptEncoding(lines...)
		if n := testing.AllocsPerRun(100, func() { acceptedCoding(h, available) }); n != 0 {
			t.Errorf("%q: %v allocations", lines, n)
		}
	}
}

func BenchmarkAcceptedCoding(b *testing.B) {
	available := []string{"br", "zstd", "gzip"}
	for name, line := range map[string]string{"browser": "gzip, deflate, br, zstd", "gzip": "gzip", "weights": "br;q=1.0, gzip;q=0.8, *;q=0.1"} {
		b.Run(name, func(b *testing.B) {
			h := acceptEncoding(line)
			for b.Loop() {
				acceptedCoding(h, available)
			}
		})
	}
}

// FuzzAcceptEncoding checks what must hold for every value, and that the quick way
// for lists without weights comes to the same as the other one.
func FuzzAcceptEncoding(f *testing.F) {
	for _, s := range []string{
		"", "gzip, deflate, br, zstd", "br;q=1.0, gzip;q=0.8, *;q=0.1", "identity;q=0", "*;q=0", "gzip;q=0, *", "x-gzip;q=0.000, gzip",
		"gzip;q=0.5;q=0", "GZIP ; Q=1", "br;q=0,br;q=1", "zstd;q=x, *", "identity, br;q=0.5", "*;q=0.5, identity;q=0",
	} {
		f.Add(s, "")
		f.Add(s, "gzip;q=0.3")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		available := []string{"br", "zstd", "gzip"}
		coding, identityOK := acceptedCoding(acceptEncoding(one, two), available)
		lowest := map[string]string{} // "0", "+" for more than that
		for element := range strings.SplitSeq(one+","+two, ",") {
			name, weight, found := strings.Cut(strings.ToLower(element), ";")
			if name = strings.Trim(name, " \t"); name == "x-gzip" {
				name = "gzip"
			}
			weight = strings.Trim(weight, " \t")
			zero := found && strings.HasPrefix(weight, "q=0") && len(weight) <= len("q=0.000") && strings.Trim(weight[len("q=0"):], "0") == strings.Repeat(".", min(1, len(weight)-len("q=0")))
			switch {
			case zero:
				lowest[name] = "0"
			case lowest[name] == "":
				lowest[name] = "+"
			}
		}
		if coding != "" && lowest[coding] == "0" {
			t.Fatalf("%q, %q: %s, which has the weight 0", one, two, coding)
		}
		if coding != "" && lowest[coding] == "" && lowest["*"] != "+" {
			t.Fatalf("%q, %q: %s, which nobody named", one, two, coding)
		}
		if !identityOK && lowest["identity"] != "0" && lowest["*"] != "0" {
			t.Fatalf("%q, %q: identity is not acceptable, but nobody said so", one, two)
		}
		quick, _ := acceptedCoding(acceptEncoding(one), available)
		slow, _ := acceptedCoding(acceptEncoding(one, ""), available)
		if quick != slow {
			t.Fatalf("%q: %q the quick way, %q the other", one, quick, slow)
		}
		for i, name := range available { // the others can't make one less acceptable
			if coding == "" {
				alone, _ := acceptedCoding(acceptEncoding(one, two), available[i:i+1])
				if alone != "" {
					t.Fatalf("%q, %q: %s is accepted, but not sent", one, two, name)
				}
			}
		}
	})
}
