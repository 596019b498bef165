package instance

import (
	"strconv"
	"time"
)

// Times are put together digit by digit: time.Format would take as long as all
// the rest of a line.

// appendMillis appends t in UTC as RFC 3339 has it, with milliseconds. Years have
// four digits.
func appendMillis(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append2(b, year/100%100)
	b = append2(b, year%100)
	b = append2(append(b, '-'), int(month))
	b = append2(append(b, '-'), day)
	b = append2(append(b, 'T'), hour)
	b = append2(append(b, ':'), minute)
	b = append2(append(b, ':'), second)
	b = append3(append(b, '.'), t.Nanosecond()/1e6)
	return append(b, 'Z')
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// appendCombinedTime appends t in its own zone as the Apache HTTP server does in
// its logs: [02/Jan/2006:15:04:05 -0700].
func appendCombinedTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	_, offset := t.Zone()
	b = append2(append(b, '['), day)
	b = append(b, '/')
	b = append(b, months[3*month-3:3*month]...)
	b = append2(append(b, '/'), year/100%100)
	b = append2(b, year%100)
	b = append2(append(b, ':'), hour)
	b = append2(append(b, ':'), minute)
	b = append2(append(b, ':'), second)
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	b = append2(append(b, ' ', sign), offset/3600)
	b = append2(b, offset/60%60)
	return append(b, ']')
}

// appendSeconds appends d, at least 0, in seconds with six digits after the
// point.
func appendSeconds(b []byte, d time.Duration) []byte {
	d = max(d, 0)
	b = strconv.AppendInt(b, int64(d/time.Second), 10)
	micros := int(d % time.Second / time.Microsecond)
	b = append3(append(b, '.'), micros/1000)
	return append3(b, micros%1000)
}

// append2 appends v, 0 to 99, in two digits.
func append2(b []byte, v int) []byte { return append(b, byte('0'+v/10), byte('0'+v%10)) }

// append3 appends v, 0 to 999, in three digits.
func append3(b []byte, v int) []byte {
	return append(b, byte('0'+v/100), byte('0'+v/10%10), byte('0'+v%10))
}
