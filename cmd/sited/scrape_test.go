package main_test

import (
	"strconv"
	"strings"
)

// scrape is what /metrics says, by name and labels as they are written there.
func (p *process) scrape() map[string]float64 {
	p.t.Helper()
	samples, err := p.tryScrape()
	if err != nil {
		p.t.Fatal(err)
	}
	return samples
}

func (p *process) tryScrape() (map[string]float64, error) {
	_, body, err := p.ask("GET", "/metrics")
	if err != nil {
		return nil, err
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, err
		}
		samples[line[:space]] = value
	}
	return samples, nil
}
