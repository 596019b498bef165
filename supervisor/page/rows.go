package page

import (
	"bytes"
	"html/template"
	"strconv"

	"github.com/dustin/go-humanize"
)

// columns is how many columns the table of the sites has.
const columns = 10

// writeRow writes one site. There may be a thousand of them, which takes a
// template ten times as long. All that isn't a number or a word of ours goes
// through line or attr.
func writeRow(b *bytes.Buffer, v *View, r *row) {
	put := func(parts ...string) {
		for _, s := range parts {
			b.WriteString(s)
		}
	}
	put(`<tbody data-key="`, template.HTMLEscapeString(attr(r.Name)), `" class="`, string(r.State.Tone), `"><tr><th scope="row"><span class="name">`, string(line(r.Name)), `</span>`)
	if r.Link != "" {
		put(`<a class="addr" rel="noreferrer" href="`, template.HTMLEscapeString(attr(r.Link)), `">`, string(line(r.Addr)), `</a>`)
	} else {
		put(`<span class="addr">`, string(line(r.Addr)), `</span>`)
	}
	if r.Failures != "" {
		put(` <a class="of" href="`, template.HTMLEscapeString(attr(r.Failures)), `" title="failed and slowest requests, as JSON">failures<span class="hush"> of `, string(line(r.Name)), `</span></a>`)
	}
	put(`</th>`)
	put(`<td class="st">`, icon(r.State.Tone), string(line(r.State.Word)), `</td>`)
	errors, class := "–", ""
	if r.Rate > 0 {
		errors = percent(r.ErrorRatio)
	}
	if r.Erring {
		class = " err"
	}
	figure := func(label, class string, value float64, shown string) {
		put(`<td class="n`, class, `" data-l="`, label, `" data-v="`, strconv.FormatFloat(value, 'g', 10, 64), `">`, shown, `</td>`)
	}
	figure("Req/s", "", r.Rate, template.HTMLEscapeString(rate(r.Rate)))
	figure("Errors", class, r.ErrorRatio, template.HTMLEscapeString(errors))
	figure("p50", " w3", r.P50.Seconds(), template.HTMLEscapeString(took(r.P50)))
	figure("p99", "", r.P99.Seconds(), template.HTMLEscapeString(took(r.P99)))
	figure("Conns", " w1", float64(r.Connections), number(r.Connections))
	figure("In flight", " w1", float64(r.InFlight), number(r.InFlight))
	generation := `<small>none yet</small>`
	if r.Generation > 0 {
		generation = number(r.Generation) + ` <small>for <time datetime="` + v.Machine(r.Since) + `">` + about(v.Now.Sub(r.Since)) + `</time></small>`
	}
	age := 0.0 // of two generations the older one's is larger, at any time
	if !r.Since.IsZero() {
		age = -float64(r.Since.Unix())
	}
	figure("Generation", " gen", age, generation)
	put(`<td class="pic w2">`, string(spark(r.Points, v.Step)), `</td></tr>`)
	if len(r.Reasons) > 0 {
		put(`<tr class="why"><td colspan="`, strconv.Itoa(columns), `">`)
		for _, why := range r.Reasons {
			put(`<p>`, string(line(why)), `</p>`)
		}
		put(`</td></tr>`)
	}
	put("</tbody>\n")
}

// icon is a shape for each tone; the word beside it says the same.
func icon(t Tone) string {
	return `<svg class="icon" aria-hidden="true" focusable="false"><use href="#i-` + string(t) + `"/></svg>`
}

func number(n int) string { return humanize.Comma(int64(n)) }
