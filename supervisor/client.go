package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Client asks a running sited through its admin endpoint. Its methods may be
// called concurrently; they wait as long as ctx allows.
type Client struct {
	Addr netip.AddrPort // admin address as configured; a wildcard stands for loopback
}

// Status tells what the process is doing.
func (c Client) Status(ctx context.Context) (*Status, error) {
	status := new(Status)
	return status, c.call(ctx, http.MethodGet, "/api/sites", status)
}

// Failures tells what the flight recorder of a site holds. The error for a site
// that the process does not know says which ones it does.
func (c Client) Failures(ctx context.Context, site string) (*SiteFailures, error) {
	failures := new(SiteFailures)
	return failures, c.call(ctx, http.MethodGet, "/api/sites/"+url.PathEscape(site)+"/failures", failures)
}

// Plan tells what a reload would do.
func (c Client) Plan(ctx context.Context) (*Report, error) {
	report := new(Report)
	return report, c.call(ctx, http.MethodGet, "/api/plan", report)
}

// Reload has the process take its configuration in and returns what came of it,
// refusals included.
func (c Client) Reload(ctx context.Context, allOrNothing bool) (*Report, error) {
	path := "/api/reload"
	if allOrNothing {
		path += "?all_or_nothing=1"
	}
	report := new(Report)
	return report, c.call(ctx, http.MethodPost, path, report)
}

// Upgrade has the process started anew from its binary and returns what came of
// it, failures included.
func (c Client) Upgrade(ctx context.Context) (*Upgrade, error) {
	upgrade := new(Upgrade)
	return upgrade, c.call(ctx, http.MethodPost, "/api/upgrade", upgrade)
}

// target is where the client connects to.
func (c Client) target() netip.AddrPort {
	switch addr := c.Addr.Addr(); {
	case !addr.IsUnspecified():
		return c.Addr
	case addr.Is6():
		return netip.AddrPortFrom(netip.IPv6Loopback(), c.Addr.Port())
	default:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), c.Addr.Port())
	}
}

// maxAnswer bounds what is read of an answer: a thousand sites need about 1 MB.
const maxAnswer = 256 << 20

func (c Client) call(ctx context.Context, method, path string, into any) error {
	target := c.target()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+target.String()+path, nil)
	if err != nil {
		return fmt.Errorf("admin address %s: %w", c.Addr, err)
	}
	// No proxy: the endpoint is on this machine or in its network.
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return explainCall(target, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("sited at %s: reading its answer: %w", target, err)
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		return fmt.Errorf("%s answered %s: %s", target, res.Status, brief(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("what answers at %s is no sited of this version: %w", target, err)
	}
	return nil
}

func explainCall(target netip.AddrPort, err error) error {
	if urlError, ok := errors.AsType[*url.Error](err); ok {
		err = urlError.Err
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no sited answers at %s: is it running? (sited run)", target)
	}
	return fmt.Errorf("no sited answers at %s: %w", target, err)
}

// brief is the first line of an answer that is not what was expected.
func brief(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return abridged(line)
}
