package metrics

import (
	"runtime"
	"strconv"
	"testing"
	"time"
)

// usual is the shape of a site as sited has them.
var usual = Shape{
	Methods:       []string{"GET", "HEAD", "OPTIONS"},
	BadRequests:   []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"},
	Rejected:      []string{"a", "b", "c"},
	TunnelRefused: []string{"a", "b"},
	ScriptResults: []string{"a", "b", "c", "d", "e", "f"},
}

// BenchmarkSites makes the series of 1,000 sites, asks for them a second time, as
// for their first generations, and deletes them.
func BenchmarkSites(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r := New("1.2.3")
		for i := range 1000 {
			r.Site(strconv.Itoa(i), usual)
			r.Site(strconv.Itoa(i), usual)
		}
		for i := range 1000 {
			r.Forget(strconv.Itoa(i))
		}
	}
}

// BenchmarkScrape is a scrape of 1,000 sites, 100 of which have traffic.
func BenchmarkScrape(b *testing.B) {
	r := New("1.2.3")
	busy(r, 1000, 100)
	b.ReportAllocs()
	for b.Loop() {
		scrape(b, r)
	}
}

// BenchmarkSample is a sample of 1,000 sites, 100 of which have traffic.
func BenchmarkSample(b *testing.B) {
	r := New("1.2.3")
	sites, now := busy(r, 1000, 100), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range sites[:100] {
			s.exchange("GET", 200)
		}
		now = now.Add(SampleEvery)
		r.Sample(now)
	}
}

// busy makes sites; the first ones have traffic.
func busy(r *Registry, all, used int) (sites []*Site) {
	for i := range all {
		sites = append(sites, r.Site(strconv.Itoa(i), usual))
	}
	for _, s := range sites[:used] {
		for took := time.Microsecond * 20; took < time.Second; took += took / 8 {
			s.Exchange(&Exchange{Method: "GET", Code: 200, ID: 1, Start: time.Now(), Took: took, FirstByte: took, Sent: 1000})
		}
	}
	return sites
}

func BenchmarkExchange(b *testing.B) {
	s := New("1.2.3").Site("a", usual)
	start := time.Now()
	took := 20 * time.Microsecond
	b.ReportAllocs()
	for b.Loop() {
		start = start.Add(took)
		s.Exchange(&Exchange{Method: "GET", Code: 200, ID: 1, Start: start, Took: took, FirstByte: took, Sent: 1000})
	}
}

func BenchmarkExchangesParallel(b *testing.B) {
	s := New("1.2.3").Site("a", usual)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		start, took := time.Now(), 20*time.Microsecond
		for p.Next() {
			s.Exchange(&Exchange{Method: "GET", Code: 200, ID: 1, Start: start, Took: took, FirstByte: took, Sent: 1000})
		}
	})
}

// A site costs little memory, and one without traffic least: there are 1,000.
func TestMemoryOfSites(t *testing.T) {
	const sites = 1000
	for _, c := range []struct {
		name    string
		scripts []string
		most    uint64 // bytes for a site
		used    uint64 // bytes for one that had a request
	}{
		{"files", nil, 2 << 10, 4 << 10},
		{"a script", []string{".php"}, 3 << 10, 5 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			of := usual
			of.Scripts = c.scripts
			before := heap()
			r := New("1.2.3")
			empty := heap() - before
			var handles []*Site
			for i := range sites {
				handles = append(handles, r.Site(strconv.Itoa(i), of), r.Site(strconv.Itoa(i), of))
			}
			now := time.Now()
			r.Sample(now)
			each := (heap() - before - empty) / sites
			for _, s := range handles {
				s.exchange("GET", 200)
			}
			used := (heap() - before - empty) / sites
			r.Sample(now.Add(SampleEvery))
			sampled := (heap() - before - empty) / sites
			t.Logf("%d bytes for a site, %d after a request, %d with its history", each, used, sampled)
			if each > c.most || used > c.used {
				t.Errorf("want at most %d and %d", c.most, c.used)
			}
			runtime.KeepAlive(handles)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
