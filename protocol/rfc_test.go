package protocol

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rfcSection is a section of an RFC, and where it is tested: by the function
// TestRFC<rfc>Section<number>, with an underscore for each dot, or as elsewhere
// says. Words that begin with Test are functions of this package.
type rfcSection struct {
	rfc, number, title string
	rules              []rule // of that function
	elsewhere          string
}

func (s *rfcSection) test() string {
	return "TestRFC" + s.rfc + "Section" + strings.ReplaceAll(s.number, ".", "_")
}

// TestSectionsAreTested: each section has its test or says where its rules are
// kept, each test of a section is for one that is listed, and the tests that are
// named are there.
func TestSectionsAreTested(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range function.FindAllStringSubmatch(string(b), -1) {
			there[m[1]] = true
		}
	}
	listed := map[string]bool{}
	for i := range rfcSections {
		s := &rfcSections[i]
		if listed[s.test()] {
			t.Errorf("RFC %s, section %s is listed twice", s.rfc, s.number)
		}
		listed[s.test()] = true
		switch {
		case there[s.test()]:
		case s.rules != nil:
			t.Errorf("RFC %s, section %s has rules, but %s is not there", s.rfc, s.number, s.test())
		case s.elsewhere == "":
			t.Errorf("RFC %s, section %s (%s) has neither a test nor a word on why", s.rfc, s.number, s.title)
		}
		for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(s.elsewhere, -1) {
			if !there[name] {
				t.Errorf("RFC %s, section %s: %s is not there", s.rfc, s.number, name)
			}
		}
	}
	for name := range there {
		if strings.HasPrefix(name, "TestRFC") && !listed[name] {
			t.Errorf("%s is for a section that is not listed", name)
		}
	}
}
