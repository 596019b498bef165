package supervisor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"

	"sited/instance"
)

// Change is one attribute that differs between two generations of a site. Old
// and New are as the configuration would write them; "" stands for an attribute
// or block that isn't there.
type Change struct {
	Name string `json:"name"` // as in the configuration: "limits.max_body", `script ".php".timeout`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// changes lists what differs. It walks the JSON form of both specs, so that an
// attribute added to Spec is compared without a word here.
func changes(old, new *instance.Spec) []Change {
	before, after := attributes(old), attributes(new)
	names := make([]string, 0, len(before))
	for name := range before {
		names = append(names, name)
	}
	for name := range after {
		if _, both := before[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var list []Change
	for _, name := range names {
		if before[name] != after[name] {
			list = append(list, Change{Name: name, Old: before[name], New: after[name]})
		}
	}
	return list
}

// attributes flattens a spec into names and values as the configuration writes
// them.
func attributes(spec *instance.Spec) map[string]string {
	raw, err := json.Marshal(spec)
	if err != nil { // plain data always encodes
		panic(fmt.Sprintf("supervisor: attributes of spec %q: %v", spec.Name, err))
	}
	var tree map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		panic(fmt.Sprintf("supervisor: attributes of spec %q: %v", spec.Name, err))
	}
	delete(tree, "Name")
	delete(tree, "Addr")
	flat := map[string]string{"ip": spec.Addr.Addr().String(), "port": fmt.Sprint(spec.Addr.Port())}
	flatten(flat, "", tree)
	return flat
}

func flatten(flat map[string]string, prefix string, object map[string]any) {
	for key, value := range object {
		name := prefix + attributeName(key)
		switch v := value.(type) {
		case map[string]any:
			flatten(flat, name+".", v)
		case []any:
			if blocks := labelled(v); blocks != nil {
				flattenBlocks(flat, name, blocks)
			} else {
				flat[name] = list(v)
			}
		default:
			flat[name] = scalar(name, v)
		}
	}
}

// block is one of several blocks of a kind: its label and its other attributes.
type block struct {
	label string
	body  map[string]any
}

// labelKeys are the keys of Spec's JSON that hold a block's label, when they hold
// a text.
var labelKeys = [...]string{"Glob", "Ext", "Status", "Name"}

// labelled returns the blocks in list, or nil when it is a list of plain values.
func labelled(list []any) []block {
	var blocks []block
	for _, item := range list {
		body, ok := item.(map[string]any)
		if !ok {
			return nil
		}
		b := block{body: body}
		for _, key := range labelKeys {
			if label, ok := body[key].(string); ok {
				b.label = label
				delete(body, key)
			}
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// flattenBlocks names each block's attributes by the block's label, and notes
// the order of the blocks, which matters for protect. Labels may repeat.
func flattenBlocks(flat map[string]string, kind string, blocks []block) {
	seen := map[string]int{}
	order := make([]any, 0, len(blocks))
	for _, b := range blocks {
		name := fmt.Sprintf("%s %q", kind, b.label)
		if seen[b.label]++; seen[b.label] > 1 {
			name += fmt.Sprintf(" #%d", seen[b.label])
		}
		order = append(order, b.label)
		flatten(flat, name+".", b.body)
	}
	flat[kind] = list(order)
}

// attributeNames are the attributes whose name in the configuration is not
// their key in snake case.
var attributeNames = map[string]string{
	"Scripts": "script", "Connect": "connect.allow", "Redirects": "redirect", "Headers": "header", "ErrorPages": "error_page",
}

func attributeName(key string) string {
	if name, ok := attributeNames[key]; ok {
		return name
	}
	var name strings.Builder
	runes := []rune(key)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 &&
			(unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			name.WriteByte('_')
		}
		name.WriteRune(unicode.ToLower(r))
	}
	return name.String()
}

func list(items []any) string {
	words := make([]string, len(items))
	for i, item := range items {
		words[i] = scalar("", item)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// scalar writes one value as the configuration would: times and sizes with
// their units, which JSON has as plain numbers.
func scalar(name string, value any) string {
	switch v := value.(type) {
	case nil:
		return "[]" // a list that is not there and an empty one are the same
	case string:
		return fmt.Sprintf("%q", v)
	case json.Number:
		n, err := v.Int64()
		switch {
		case err != nil || n < 0:
		case strings.HasPrefix(name, "timeouts.") || strings.HasSuffix(name, ".timeout") || name == "logs.max_age":
			return duration(time.Duration(n))
		case isSize(name):
			return size(n)
		}
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}

func isSize(name string) bool {
	switch name {
	case "limits.max_body", "limits.max_header", "limits.max_uri", "limits.cache", "logs.body", "logs.max_size":
		return true
	}
	return false
}

// size writes exact multiples with their unit and anything else in bytes, so
// that two sizes that differ never look the same.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", humanize.GiByte}, {"MiB", humanize.MiByte}, {"KiB", humanize.KiByte}} {
		if n > 0 && n%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", n/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
