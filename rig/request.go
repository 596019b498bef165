package rig

import (
	"io"
	"net/http"
)

// Request sends a request on a connection of its own and reads the answer. It may
// be called from any goroutine.
func Request(method, url string, body io.Reader, length int64) (status int, content string, err error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return 0, "", err
	}
	req.ContentLength = length
	client := http.Client{Timeout: 2 * Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// Get is Request with GET.
func Get(url string) (status int, content string, err error) {
	return Request("GET", url, nil, 0)
}
