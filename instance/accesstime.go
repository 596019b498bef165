package instance

import (
	"strconv"
	"time"
)

// Times are put together digit by digit: time.Format would take as long as all
// the rest of a line.

// clockText remembers how the last second was written: most lines are about the
// same one as the line before. The zero value is ready, and remembers nothing.
type clockText struct{ utc, local textOfSecond }

// textOfSecond is a second of Unix time and what stands for it.
type textOfSecond struct {
	unix int64
	text []byte // empty: nothing is remembered
}

// appendMillis appends t in UTC as RFC 3339 has it, with milliseconds. Years have
// four digits.
func (c *clockText) appendMillis(b []byte, t time.Time) []byte {
	if unix := t.Unix(); unix != c.utc.unix || len(c.utc.text) == 0 {
		c.utc.unix, c.utc.text = unix, appendSecond(c.utc.text[:0], t)
	}
	b = append(b, c.utc.text...)
	b = append3(append(b, '.'), t.Nanosecond()/1e6)
	return append(b, 'Z')
}

// appendCombined appends t in its own zone as the Apache HTTP server does in its
// logs: [02/Jan/2006:15:04:05 -0700]. All times are to be of one zone.
func (c *clockText) appendCombined(b []byte, t time.Time) []byte {
	if unix := t.Unix(); unix != c.local.unix || len(c.local.text) == 0 {
		c.local.unix, c.local.text = unix, appendCombinedTime(c.local.text[:0], t)
	}
	return append(b, c.local.text...)
}

// appendSecond appends t in UTC as RFC 3339 has it, without fraction and zone.
func appendSecond(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append2(b, year/100%100)
	b = append2(b, year%100)
	b = append2(append(b, '-'), int(month))
	b = append2(append(b, '-'), day)
	b = append2(append(b, 'T'), hour)
	b = append2(append(b, ':'), minute)
	return append2(append(b, ':'), second)
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

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
