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
	res, content, err := Do(req)
	if res == nil {
		return 0, "", err
	}
	return res.StatusCode, content, err
}

// Do is Request for what its arguments can't say. The response's body is read and
// closed; there may be one, with a part of the content, beside an error.
func Do(req *http.Request) (res *http.Response, content string, err error) {
	client := http.Client{Timeout: 2 * Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	if res, err = client.Do(req); err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

// Get is Request with GET.
func Get(url string) (status int, content string, err error) {
	return Request("GET", url, nil, 0)
}
