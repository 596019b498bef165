package chaos

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"sited/rig"
)

// town is what visitors know: which sites there are, what each of their
// generations answers, and what may have been in force when.
type town struct {
	*rig.Rig
	lines  map[int]*timeline // by port
	counts counts
	stop   chan struct{}

	strict atomic.Int64 // answers that only one generation could give
}

func (o *town) stopped() bool {
	select {
	case <-o.stop:
		return true
	default:
		return false
	}
}

// What a generation has beside its number, which each answer tells: visitors see
// whether the rest of it is of the same generation.
const optionsEvery = 3 // generations that allow OPTIONS

func variant(gen int) string { return []string{"even", "odd"}[gen&1] }

func page(site string, gen int) string { return site + " " + variant(gen) + "\n" }

const bigSize = 200_000

func big(site string, gen int) string {
	line := page(site, gen)
	return strings.Repeat(line, bigSize/len(line)+1)[:bigSize]
}

// fillRoots makes the folders of a site.
func (o *town) fillRoots(site string) {
	for gen := range 2 {
		folder := fmt.Sprintf("root/%s/%s/", site, variant(gen))
		o.Write(folder+"index.html", page(site, gen))
		o.Write(folder+"big.txt", big(site, gen))
		o.Write(folder+"slow.sh", "printf 'Content-Type: text/plain\\n\\n'; cat index.html; sleep 0.2; cat index.html")
		o.Write(folder+"echo.sh", "printf 'Content-Type: text/plain\\n\\n'; cat index.html; cat")
	}
}

// ask is a kind of request, and what each generation answers.
type ask struct {
	name, method string
	raw          string // the whole request
	rest         string // of it, sent a while later
	slow         bool   // it takes a while
	status       func(gen int) int
	body         func(site string, gen int) string // nil: not looked at
}

func always(status int) func(int) int { return func(int) int { return status } }

var asks = []ask{
	{name: "page", method: "GET", raw: head("GET /"), status: always(200), body: page},
	{name: "HEAD", method: "HEAD", raw: head("HEAD /big.txt"), status: always(200)},
	{name: "big file", method: "GET", raw: head("GET /big.txt"), status: always(200), body: big},
	{name: "range", method: "GET", raw: head("GET /big.txt", "Range: bytes=100000-100999"), status: always(206),
		body: func(site string, gen int) string { return big(site, gen)[100_000:101_000] }},
	{name: "missing", method: "GET", raw: head("GET /nothing"), status: always(404)},
	{name: "OPTIONS", method: "OPTIONS", raw: head("OPTIONS /"), status: func(gen int) int {
		if gen%optionsEvery == 0 {
			return 204
		}
		return 405
	}},
	{name: "head in pieces", method: "GET", raw: "GET / HTTP/1.1\r\nHos", rest: "t: h\r\n\r\n", status: always(200), body: page},
	{name: "slow script", method: "GET", raw: head("GET /slow.sh"), slow: true, status: always(200),
		body: func(site string, gen int) string { return page(site, gen) + page(site, gen) }},
	{name: "body in pieces", method: "POST", raw: head("POST /echo.sh", "Content-Length: 10") + "first", rest: "later", slow: true, status: always(200),
		body: func(site string, gen int) string { return page(site, gen) + "firstlater" }},
}

// head is the head of a request.
func head(line string, fields ...string) string {
	lines := append([]string{line + " HTTP/1.1", "Host: h"}, fields...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

const closedWithSocket = "connections closed with their socket"

// visitor asks at one port after another, or always at the same.
type visitor struct {
	*town
	kind  string // for messages
	port  int
	wire  *wire     // nil: the next request opens a connection
	since time.Time // when the last request on it that was answered began, or it was opened

	dials, closed int
	last          served // what answered last, the socket aside
}

// visit makes one request and checks what comes of it. It reports whether there
// was an answer.
func (v *visitor) visit(k ask) bool {
	line := v.lines[v.port]
	begun := time.Now()
	if v.wire == nil {
		w, err := dial(net.JoinHostPort(v.IP, strconv.Itoa(v.port)))
		switch {
		case errors.Is(err, syscall.ECONNREFUSED) && line.refuses(begun, time.Now()):
			v.counts.add("refused where no site is")
			return false
		case err != nil:
			v.fail(k, begun, "connect: %v", err)
			return false
		}
		v.wire, v.since = w, begun
		v.dials++
	}
	err := v.wire.send(k.raw)
	if k.rest != "" && err == nil {
		time.Sleep(mathrand.N(200 * time.Millisecond))
		err = v.wire.send(k.rest)
	}
	var a reply
	if err == nil {
		a, err = v.wire.answer(k.method)
	}
	return v.check(k, line, begun, a, err)
}

// check looks at what came of a request.
func (v *visitor) check(k ask, line *timeline, begun time.Time, a reply, err error) bool {
	now := time.Now()
	mayClose := line.closes(v.since, now)
	if _, ok := errors.AsType[*unanswered](err); ok && mayClose {
		v.counts.add(closedWithSocket)
		v.counts.add("of these, without an answer to a request")
		if v.since.Equal(begun) && !line.refuses(begun, now) {
			v.counts.add("of these, new ones, where the site was bound elsewhere")
		}
		v.closed++
		v.leave()
		return false
	}
	if err != nil {
		v.fail(k, begun, "%v", err)
		v.leave()
		return false
	}
	site := a.header.Get("X-Site")
	gen, err := strconv.Atoi(a.header.Get("X-Generation"))
	may, alone := line.answers(begun, now, site, gen)
	switch {
	case err != nil || !may:
		v.fail(k, begun, "%d, %s generation %q: not in force then", a.status, site, a.header.Get("X-Generation"))
	case a.status != k.status(gen):
		v.fail(k, begun, "%d from %s generation %d", a.status, site, gen)
	case k.body != nil && a.body != k.body(site, gen):
		v.fail(k, begun, "%s generation %d, and %d bytes that begin %.60q: not those of this generation", site, gen, len(a.body), a.body)
	case a.closes && !mayClose:
		v.fail(k, begun, "%d, and the connection closes", a.status)
	}
	if alone {
		v.strict.Add(1)
	}
	v.counts.add("request: " + k.name)
	v.last = served{site: site, gen: gen}
	v.since = begun
	if a.closes {
		v.counts.add(closedWithSocket)
		v.closed++
		v.leave()
	}
	return true
}

func (v *visitor) fail(k ask, begun time.Time, format string, args ...any) {
	v.T.Errorf("%s at port %d, %s, from %s to %s: %s%v", v.kind, v.port, k.name,
		begun.Format("05.000"), time.Now().Format("05.000"), fmt.Sprintf(format, args...), v.lines[v.port])
}

// leave closes the connection.
func (v *visitor) leave() {
	if v.wire != nil {
		v.wire.Close()
		v.wire = nil
	}
}

// stay asks at one port until the end, on one connection as long as that is
// there.
func (v *visitor) stay(random *mathrand.Rand) {
	defer v.leave()
	for !v.stopped() {
		k := asks[random.IntN(len(asks))]
		if !k.slow {
			v.visit(k)
		}
		time.Sleep(time.Duration(5+random.IntN(40)) * time.Millisecond)
	}
}

// roam asks at one port after another, on new connections. Slow requests are made
// by those that are slow.
func (v *visitor) roam(random *mathrand.Rand, ports []int, slow bool) {
	for !v.stopped() {
		v.port = ports[random.IntN(len(ports))]
		k := asks[random.IntN(len(asks))]
		if k.slow == slow {
			v.visit(k)
			v.leave()
		}
		time.Sleep(time.Duration(2+random.IntN(10)) * time.Millisecond)
	}
}
