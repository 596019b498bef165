package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// How many reloads are remembered, and how much of what each printed.
const (
	keptReloads   = 20
	maxReloadText = 32 << 10
)

// Reloads are the last ones.
type Reloads struct {
	FormatVersion int      `json:"format_version"`
	Reloads       []Reload `json:"reloads"` // the newest first, 20 at most
}

// Reload is a reload that is over, the start included.
type Reload struct {
	Number int `json:"number"` // counts from 1 in the life of the process
	ReloadBrief
	Took float64 `json:"took_seconds"`
	Hash string  `json:"hash"` // of the configuration read
	Text string  `json:"text"` // diagnostics and plan as the command prints them; the middle is left out of a very long one
}

// recall holds the last reloads, the newest first. Owner only; of what is in it only
// the newest changes, see mended.
type recall struct {
	count   int
	reloads []Reload
}

func (m *recall) add(r *Report) {
	m.count++
	m.reloads = slices.Insert(m.reloads, 0, Reload{
		Number: m.count, Took: time.Since(r.Time).Seconds(), Hash: r.Hash, Text: shorten(r.Text()),
		ReloadBrief: ReloadBrief{
			Time: r.Time, Trigger: r.Trigger, Result: r.Result, Summary: r.summary(), Errors: r.reasons(),
			faulty: r.errors || r.Error != "" || r.Admin != nil && r.Admin.Error != "",
		},
	})
	m.reloads = m.reloads[:min(len(m.reloads), keptReloads)]
}

// last is a copy of the newest; nil before there is one.
func (m *recall) last() *ReloadBrief {
	if m.count == 0 {
		return nil
	}
	last := m.reloads[0].ReloadBrief
	return &last
}

// shorten leaves lines out of the middle of a text that is too long: its last
// line sums up.
func shorten(text string) string {
	if len(text) <= maxReloadText {
		return text
	}
	last := strings.LastIndexByte(strings.TrimRight(text, "\n"), '\n') + 1
	cut := strings.LastIndexByte(text[:max(0, maxReloadText-(len(text)-last))], '\n') + 1
	if cut == 0 || cut >= last {
		return strings.ToValidUTF8(text[:maxReloadText], "") + "\n"
	}
	return fmt.Sprintf("%s… %d more lines\n%s", text[:cut], strings.Count(text[cut:last], "\n"), text[last:])
}

// Reloads tells what the last reloads came to.
func (s *Supervisor) Reloads(ctx context.Context) (*Reloads, error) {
	out := &Reloads{FormatVersion: FormatVersion}
	err := s.do(ctx, func() { out.Reloads = slices.Clone(s.recall.reloads) })
	if out.Reloads == nil {
		out.Reloads = []Reload{}
	}
	return out, err
}
