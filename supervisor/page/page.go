package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"time"
)

//go:embed page.html
var pageText string

//go:embed page.css
var style string

//go:embed page.js
var script string

// pageTemplate has "before" and "after": what comes before and after the rows,
// which are too many for a template.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"line": line, "lines": lines, "attr": attr, "rate": rate, "percent": percent, "took": took,
	"number": number, "spark": spark, "bar": bar, "kind": kind,
	"entry": func(v *View, r Request, prefix string) entry { return entry{&r, v, prefix} },
	"icon":  func(t Tone) template.HTML { return template.HTML(icon(t)) },
}).Parse(pageText))

// Policy is the Content-Security-Policy to send the page with: nothing but the
// style and the script in it, and requests to where it came from.
var Policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; img-src data:; connect-src 'self'; "+
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'", hash(style), hash(script))

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// erring is the share of answers of 500 and above from which on a site counts as
// one that has errors.
const erring = 0.05

// document is a View as the template wants it.
type document struct {
	*View
	Style      template.CSS
	Script     template.JS
	Build      string // changes with the style and the script
	Verdict    verdict
	Total      Site
	LastReload *Reload // nil before there was one
	Rows       []row
}

// entry is a request in a list; its address on the page is Prefix and the ID.
type entry struct {
	*Request
	View   *View
	Prefix string
}

// verdict is how all is, in a few words.
type verdict struct {
	Tone Tone
	Text string
}

// row is a site and what is worked out of it.
type row struct {
	Site
	Erring bool
}

// Render writes the page. The error is w's.
func Render(w io.Writer, v *View) error {
	d := document{
		View: v, Style: template.CSS(style), Script: template.JS(script), Build: hash(style + script)[7:19],
		Total: total(v.Sites), Rows: make([]row, len(v.Sites)),
	}
	for i, site := range v.Sites {
		d.Rows[i] = row{Site: site, Erring: site.ErrorRatio >= erring}
	}
	slices.SortStableFunc(d.Rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.urgency(), b.urgency()), cmp.Compare(a.Name, b.Name))
	})
	d.Verdict = judge(v, d.Rows)
	if len(v.Reloads) > 0 {
		d.LastReload = &v.Reloads[0]
	}
	b := bytes.NewBuffer(make([]byte, 0, 64<<10+2<<10*len(v.Sites)))
	if err := pageTemplate.ExecuteTemplate(b, "before", &d); err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	for i := range d.Rows {
		writeRow(b, v, &d.Rows[i])
	}
	if err := pageTemplate.ExecuteTemplate(b, "after", &d); err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// urgency orders the rows: what asks for attention comes first.
func (r *row) urgency() int {
	switch {
	case r.State.Tone == Bad:
		return 0
	case r.State.Tone == Warn:
		return 1
	case r.Erring:
		return 2
	case r.State.Tone == Quiet:
		return 3
	default:
		return 4
	}
}

// total sums all sites up.
func total(sites []Site) Site {
	var all Site
	for _, s := range sites {
		all.Rate += s.Rate
		all.ErrorRatio += s.ErrorRatio * s.Rate
		all.Connections += s.Connections
		all.InFlight += s.InFlight
		if more := len(s.Points) - len(all.Points); more > 0 {
			all.Points = append(make([]Point, more, len(s.Points)), all.Points...)
		}
		offset := len(all.Points) - len(s.Points)
		for i, p := range s.Points {
			all.Points[offset+i].Requests += p.Requests
			all.Points[offset+i].Errors += p.Errors
		}
	}
	if all.Rate > 0 {
		all.ErrorRatio /= all.Rate
	}
	return all
}

func judge(v *View, rows []row) verdict {
	var unwell, failing, quiet int
	for i := range rows {
		switch rows[i].urgency() {
		case 0, 1:
			unwell++
		case 2:
			failing++
		case 3:
			quiet++
		}
	}
	all := len(rows)
	switch {
	case !v.Running:
		return verdict{Quiet, "sited is " + v.Phase}
	case all == 0:
		return verdict{Quiet, "No site is configured"}
	case unwell > 0:
		text := strconv.Itoa(unwell) + " of " + count(all, "site needs", "sites need") + " attention"
		if unwell == 1 && all > 1 {
			text = "1 of " + count(all, "", "sites") + " needs attention"
		}
		if failing > 0 {
			text += ", " + strconv.Itoa(failing) + " more " + plural(failing, "has", "have") + " errors"
		}
		return verdict{worst(rows), text}
	case failing > 0:
		return verdict{Warn, count(failing, "site answers", "sites answer") + " with errors"}
	case quiet > 0:
		return verdict{Quiet, count(quiet, "site comes or goes", "sites come or go")}
	case all == 1:
		return verdict{Good, "The site is well"}
	default:
		return verdict{Good, "All " + count(all, "site", "sites") + " are well"}
	}
}

func worst(rows []row) Tone {
	if len(rows) > 0 && rows[0].urgency() == 0 {
		return Bad
	}
	return Warn
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Clock writes a time of today as that, and any other with its day.
func (v *View) Clock(t time.Time) string {
	t = t.In(v.Now.Location())
	if t.Format(time.DateOnly) == v.Now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2 Jan 15:04")
}

// Machine writes a time for programs.
func (v *View) Machine(t time.Time) string { return t.Format(time.RFC3339) }

// Ago says how long ago t was.
func (v *View) Ago(t time.Time) string { return ago(v.Now.Sub(t)) }

// slice is a part of a bar.
type slice struct{ X, Width, Kind int }

// bar divides a bar 1,000 wide among phases; a single one needs none.
func bar(phases []Phase) []slice {
	var sum time.Duration
	for _, p := range phases {
		sum += max(0, p.Took)
	}
	if sum <= 0 || len(phases) < 2 {
		return nil
	}
	slices := make([]slice, 0, len(phases))
	x, done := 0, time.Duration(0)
	for i, p := range phases {
		done += max(0, p.Took)
		end := int(float64(done) / float64(sum) * 1000)
		slices = append(slices, slice{X: x, Width: end - x, Kind: kind(i)})
		x = end
	}
	return slices
}

// kind is the colour of the phase with that index.
func kind(i int) int { return i % 4 }
