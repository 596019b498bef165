package page

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// pairs are what is written in which colour on which: WCAG 2.2 AA wants 4.5:1 for
// text and 3:1 for what else has to be told apart.
var pairs = []struct {
	ink, paper string
	least      float64
}{
	{"ink", "paper", 4.5}, {"ink", "card", 4.5}, {"soft", "paper", 4.5}, {"soft", "card", 4.5},
	{"accent", "paper", 4.5}, {"accent", "card", 4.5}, {"card", "accent", 4.5},
	{"good", "good-bg", 4.5}, {"warn", "warn-bg", 4.5}, {"bad", "bad-bg", 4.5}, {"quiet", "quiet-bg", 4.5},
	{"good", "card", 4.5}, {"warn", "card", 4.5}, {"bad", "card", 4.5}, {"quiet", "card", 4.5}, {"warn", "paper", 4.5},
	{"ink", "quiet-bg", 4.5}, {"bad", "paper", 4.5},
	{"k0", "card", 2}, {"k1", "card", 3}, {"k2", "card", 2.5}, {"k3", "card", 3}, // beside words
}

func TestContrast(t *testing.T) {
	light, dark, ok := strings.Cut(style, "prefers-color-scheme: dark")
	if !ok {
		t.Fatal("there is no dark scheme")
	}
	dark, _, _ = strings.Cut(dark, "\n}\n")
	light, _, _ = strings.Cut(light, "\n}\n")
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): #([0-9a-f]{3,6});`).FindAllStringSubmatch(text, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for _, p := range pairs {
			a, b := colours[p.ink], colours[p.paper]
			if a == 0 || b == 0 {
				t.Errorf("%s: no colour %s or %s", scheme, p.ink, p.paper)
				continue
			}
			if got := (max(a, b) + .05) / (min(a, b) + .05); got < p.least {
				t.Errorf("%s: %s on %s is %.2f:1, want %.1f:1", scheme, p.ink, p.paper, got, p.least)
			}
		}
	}
}

// luminance is the relative luminance that WCAG defines.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// The page moves nothing for who asks for less motion, and hides nothing that
// only a colour would tell.
func TestStyle(t *testing.T) {
	before, _, ok := strings.Cut(style, "@media (prefers-reduced-motion: no-preference)")
	if !ok || regexp.MustCompile(`animation|transition`).MatchString(before) {
		t.Error("motion outside of prefers-reduced-motion: no-preference")
	}
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the style loads something")
	}
	if strings.Contains(style, "outline: none") || strings.Contains(style, "outline: 0") {
		t.Error("the focus can't be seen")
	}
}
