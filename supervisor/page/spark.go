package page

import (
	"fmt"
	"html/template"
	"strconv"
	"time"
)

// The picture of a site's last minutes: a step of sparkStep for each point, with
// the newest at the right.
const (
	sparkPoints = 60
	sparkStep   = 2
	sparkWidth  = (sparkPoints - 1) * sparkStep
	sparkHeight = 24
	sparkFloor  = sparkHeight - 1 // where nothing is
)

// spark draws points, which each stand for step: requests as an area, errors as
// bars in front of it. What it shows is in its title as well. Where points are
// missing, the first ones, there was nothing.
func spark(given []Point, step time.Duration) template.HTML {
	points := make([]Point, sparkPoints)
	given = given[max(0, len(given)-sparkPoints):]
	copy(points[sparkPoints-len(given):], given)
	var most, sum, errors uint64
	for _, p := range points {
		most = max(most, uint64(p.Requests), uint64(p.Errors))
		sum += uint64(p.Requests)
		errors += uint64(p.Errors)
	}
	b := make([]byte, 0, 1<<10)
	b = fmt.Appendf(b, `<svg class="spark" role="img" viewBox="0 0 %d %d" preserveAspectRatio="none"><title>%s</title>`,
		sparkWidth, sparkHeight, sparkTitle(sum, errors, most, step))
	b = fmt.Appendf(b, `<path class="base" d="M0 %dh%d"/>`, sparkFloor, sparkWidth)
	if most > 0 {
		line := outline(nil, points, most)
		b = append(b, `<path class="area" d="`...)
		b = append(b, line...)
		b = fmt.Appendf(b, `V%dH0z"/><path class="line" d="`, sparkFloor)
		b = append(b, line...)
		b = append(b, `"/>`...)
	}
	if errors > 0 {
		b = append(b, `<path class="errs" d="`...)
		b = bars(b, points, most)
		b = append(b, `"/>`...)
	}
	b = append(b, "</svg>"...)
	return template.HTML(b)
}

func sparkTitle(sum, errors, most uint64, step time.Duration) string {
	span := ago(sparkPoints * step)
	if sum == 0 {
		return "no requests in the last " + span
	}
	title := fmt.Sprintf("%s in the last %s, %s/s at most", count(int(sum), "request", "requests"), span, rate(float64(most)/step.Seconds()))
	if errors == 0 {
		return title + ", no errors"
	}
	return title + ", " + count(int(errors), "error", "errors")
}

// height is that of n where most is the highest; what there is is seen.
func height(n uint32, most uint64) int {
	if n == 0 {
		return 0
	}
	return max(1, int(uint64(n)*(sparkFloor-1)/most))
}

// outline appends the line over the requests.
func outline(b []byte, points []Point, most uint64) []byte {
	y := 0
	for i, p := range points {
		at := sparkFloor - height(p.Requests, most)
		if i == 0 {
			b = fmt.Appendf(b, "M0 %d", at)
		} else {
			if i == 1 {
				b = append(b, 'l')
			} else {
				b = append(b, ' ')
			}
			b = append(b, strconv.Itoa(sparkStep)...)
			if at >= y {
				b = append(b, ' ')
			}
			b = strconv.AppendInt(b, int64(at-y), 10)
		}
		y = at
	}
	return b
}

// bars appends one bar from the floor for each point with errors; a single error
// among many requests is high enough to be seen.
func bars(b []byte, points []Point, most uint64) []byte {
	for i, p := range points {
		if p.Errors == 0 {
			continue
		}
		b = fmt.Appendf(b, "M%d %dv-%d", i*sparkStep, sparkFloor, max(3, height(p.Errors, most)))
	}
	return b
}
