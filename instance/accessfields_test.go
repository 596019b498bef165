package instance

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedMembers compares the table of docs/operations.md with the members
// that lines have, in their order and with their types.
func TestDocumentedMembers(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	_, section, found := strings.Cut(string(page), "\n### What is in a line\n")
	if !found {
		t.Fatal("the section is not there")
	}
	section, _, _ = strings.Cut(section, "\n### ")
	var inRequests, inScripts []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (string|number) \\| ([^|]+) \\| [^|]+ \\|$").FindAllStringSubmatch(section, -1) {
		member := row[1] + " " + row[2]
		switch in := row[3]; {
		case in == "all":
			inRequests, inScripts = append(inRequests, member), append(inScripts, member)
		case in == "scripts":
			inScripts = append(inScripts, member)
		case strings.Contains(in, "requests"):
			inRequests = append(inRequests, member)
		default:
			t.Errorf("%s is in %q", row[1], in)
		}
	}
	x := sample()
	x.Res.Status, x.Err = 500, errors.New("why")
	if got := lineMembers(t, appendJSON(nil, &clockText{}, "app", x)); !slices.Equal(got, inRequests) {
		t.Errorf("a line for a request has %q,\ndocumented are %q", got, inRequests)
	}
	if got := lineMembers(t, appendJSONStderr(nil, &clockText{}, x.Start, x.ID, "app", ".php", "oh")); !slices.Equal(got, inScripts) {
		t.Errorf("a line of a script has %q,\ndocumented are %q", got, inScripts)
	}
}

// lineMembers are the names and types of the members of a JSON object.
func lineMembers(t *testing.T, line []byte) (all []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	_, err := d.Token()
	must(t, err)
	for d.More() {
		token, err := d.Token()
		must(t, err)
		name, _ := token.(string)
		token, err = d.Token()
		must(t, err)
		switch token.(type) {
		case string:
			name += " string"
		case float64:
			name += " number"
		}
		all = append(all, name)
	}
	return all
}
