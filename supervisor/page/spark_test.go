package page

import (
	"strings"
	"testing"
	"time"
)

func TestSpark(t *testing.T) {
	many := make([]Point, 100)
	for i := range many {
		many[i].Requests = 1000
	}
	many[99].Errors = 1
	for _, tt := range []struct {
		points        []Point
		want, without []string
	}{
		{nil, []string{"no requests in the last 5\u00a0m 0\u00a0s", `class="base"`}, []string{`class="area"`, `class="errs"`}},
		{make([]Point, 60), []string{"no requests in the last 5\u00a0m 0\u00a0s"}, []string{`class="area"`}},
		{[]Point{{5, 0}, {10, 0}, {0, 0}}, []string{"15 requests in the last 5\u00a0m 0\u00a0s, 2.0/s at most, no errors", ` 2 0 2-11 2-11 2 22"/>`, "V23H0z"}, []string{`class="errs"`}},
		{[]Point{{1, 1}}, []string{"1 request in the last 5\u00a0m 0\u00a0s, 0.2/s at most, 1 error", `class="errs" d="M118 23v-22"`}, nil},
		{many, []string{"60,000 requests in the last 5\u00a0m 0\u00a0s, 200/s at most, 1 error", `d="M118 23v-3"`, `d="M0 1l2 0 2 0`}, nil},
	} {
		got := string(spark(tt.points, 5*time.Second))
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %s", want, got)
			}
		}
		for _, without := range tt.without {
			if strings.Contains(got, without) {
				t.Errorf("%q in %s", without, got)
			}
		}
	}
}
