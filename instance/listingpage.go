package instance

import (
	"bytes"
	_ "embed"
	"html"
	"html/template"
	"strings"

	"github.com/dustin/go-humanize"
)

//go:embed listing.html
var listingText string

// listingTemplate has "before" and "after": what comes before and after the rows,
// which are too many for a template.
var listingTemplate = template.Must(template.New("listing").Parse(listingText))

// listingPolicy is the Content-Security-Policy of the page: it has its style in
// itself and needs nothing else.
const listingPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

// listingPage is what the template shows.
type listingPage struct {
	Path    string
	Crumbs  []crumb // from the root to the folder
	Parent  string  // "" for the root
	Columns []column
	Folders int
	Files   int
	Size    string // of the files together
	Most    string // entries that are shown when there are more; "" when these are all
}

type crumb struct {
	Name, Href string
	Here       bool
}

// column is the head of a column, which sorts by it.
type column struct {
	Title, Class, Href string
	Sorted             string // the value of aria-sort, "" for none
	Arrow              string
}

func listingHTML(path string, entries []listed, more bool, o order) ([]byte, error) {
	page := listingPage{Path: shown(path), Crumbs: crumbs(path), Columns: o.columns()}
	if len(page.Crumbs) > 1 {
		page.Parent = page.Crumbs[len(page.Crumbs)-2].Href
	}
	if more {
		page.Most = humanize.Comma(maxListed)
	}
	var size uint64
	for i := range entries {
		if entries[i].isFolder {
			page.Folders++
		} else {
			page.Files++
			size += uint64(entries[i].size)
		}
	}
	page.Size = humanize.IBytes(size)
	b := bytes.NewBuffer(make([]byte, 0, 8<<10+len(entries)*256))
	if err := listingTemplate.ExecuteTemplate(b, "before", page); err != nil {
		return nil, err
	}
	folder := escapePath(path)
	for i := range entries {
		writeRow(b, folder, &entries[i])
	}
	err := listingTemplate.ExecuteTemplate(b, "after", page)
	return b.Bytes(), err
}

// writeRow writes one entry; folder is the percent-encoded path of its folder.
func writeRow(b *bytes.Buffer, folder string, e *listed) {
	class, slash, size := "", "", ""
	if e.isFolder {
		class, slash = ` class="folder"`, "/"
	} else {
		size = humanize.IBytes(uint64(e.size))
	}
	at := e.modified.UTC()
	for _, s := range []string{
		"<tr", class, `><th scope="row"><a href="`, html.EscapeString(folder + escapePath(e.name)), slash, `">`,
		html.EscapeString(shown(e.name)), slash, `</a></th><td class="size">`, size, `</td><td class="time"><time datetime="`,
		at.Format("2006-01-02T15:04Z"), `">`, at.Format("2006-01-02"), `<span class="clock">`, at.Format(" 15:04"), "</span></time></td></tr>\n",
	} {
		b.WriteString(s)
	}
}

// shown is a name as text: file systems hold any bytes.
func shown(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

func crumbs(path string) []crumb {
	all := []crumb{{Name: "Home", Href: "/"}}
	for at := 1; at < len(path); {
		end := at + strings.IndexByte(path[at:], '/')
		all = append(all, crumb{Name: shown(path[at:end]), Href: escapePath(path[:end+1])})
		at = end + 1
	}
	all[len(all)-1].Here = true
	return all
}

// columns are the heads: one that the page is sorted by turns the order round;
// sizes and times begin with the largest and the latest.
func (o order) columns() []column {
	all := []column{
		{Title: "Name", Class: "name", Href: "?sort=name&order=asc"},
		{Title: "Size", Class: "size", Href: "?sort=size&order=desc"},
		{Title: "Modified", Class: "time", Href: "?sort=time&order=desc"},
	}
	i := map[string]int{"name": 0, "size": 1, "time": 2}[o.by]
	c := &all[i]
	if o.descending {
		c.Sorted, c.Arrow, c.Href = "descending", "\u2193", "?sort="+o.by+"&order=asc"
	} else {
		c.Sorted, c.Arrow, c.Href = "ascending", "\u2191", "?sort="+o.by+"&order=desc"
	}
	return all
}
