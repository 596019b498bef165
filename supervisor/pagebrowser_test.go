package supervisor

import (
	"fmt"
	"testing"
)

// lookAnew has the page look for news at once, as when its tab is shown again.
const lookAnew = `document.dispatchEvent(new Event('visibilitychange'))`

func TestStatusPageInBrowser(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("alpha", a, "one"), r.site("beta", r.port(), "B"), r.site("gamma", r.port(), "C")}
	})
	beta, gamma := r.site("beta", r.port(), "B"), r.site("gamma", r.port(), "C")
	c := dial(t, r.addr(a))
	c.send("GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
	c.answer()
	r.wait("the request is on the page", func() bool { return tokenField.MatchString(r.page("/")) && len(failuresOnPage(r)) == 1 })

	b := startBrowser(t)
	b.see(1200, 900, "light")
	b.open("http://" + r.addr(r.admin) + "/")
	b.wait(`document.getElementById('age').textContent === 'Live'`)
	b.want(`document.title.startsWith('All 3 sites are well')`)
	b.want(`!document.getElementById('filter').hidden`)

	// What the person does stays, whatever comes in.
	b.eval(`window.same = true; document.querySelector('.failures details').open = true;
		const find = document.getElementById('find'); find.focus(); find.value = 'alp';
		find.dispatchEvent(new Event('input', { bubbles: true })); find.setSelectionRange(1, 2);
		window.row = document.querySelector('tbody[data-key=alpha]');`, nil)
	shown := `[...document.querySelectorAll('#sites tbody')].filter(g => g.checkVisibility()).map(g => g.dataset.key).join()`
	b.want(shown + ` === 'alpha'`)
	b.want(`document.getElementById('found').textContent === '1 of 3'`)
	r.reload("partial", r.site("alpha", a, "two"), beta, gamma, r.site("delta", r.port(), "D", "nonsense = 1"))
	b.wait(`document.getElementById('verdict').textContent === '1 of 4 sites needs attention'`) // by itself
	b.want(`window.same && window.row.isConnected && window.row.querySelector('.gen').dataset.l === 'Generation'`)
	b.want(`window.row.querySelector('.gen').textContent.startsWith('2')`)
	b.want(`document.querySelector('.failures details').open`)
	b.want(`document.activeElement.id === 'find' && document.activeElement.value === 'alp' && document.activeElement.selectionStart === 1`)
	b.want(shown + ` === 'alpha'`)
	b.want(`document.getElementById('found').textContent === '1 of 4'`)
	b.want(`document.title.startsWith('1 of 4 sites needs attention')`)
	b.want(`document.getElementById('reload').dataset.key === '2' && document.getElementById('reload').open`)

	// Sorting, which the next look keeps, and the way back.
	b.eval(`find.value = ''; find.dispatchEvent(new Event('input', { bubbles: true }))`, nil)
	b.want(shown + ` === 'delta,alpha,beta,gamma'`)
	click := func(column int) {
		b.eval(fmt.Sprintf(`document.querySelectorAll('#sites thead button')[%d].click()`, column), nil)
	}
	click(0)
	b.want(shown + ` === 'alpha,beta,delta,gamma'`)
	b.want(`document.querySelector('#sites thead th').getAttribute('aria-sort') === 'ascending'`)
	click(0)
	b.want(shown + ` === 'gamma,delta,beta,alpha'`)
	b.eval(`document.querySelectorAll('#sites thead button')[0].focus()`, nil)
	r.reload("applied", r.site("alpha", a, "two"), beta, gamma, r.site("delta", r.port(), "D"))
	b.eval(lookAnew, nil)
	b.wait(`document.getElementById('verdict').textContent === 'All 4 sites are well'`)
	b.want(shown + ` === 'gamma,delta,beta,alpha'`)
	b.want(`document.activeElement.textContent === 'Site' && window.row.isConnected`)
	click(0)
	b.want(shown + ` === 'alpha,beta,delta,gamma' && !document.querySelector('[aria-sort]')`)

	// The form, by its button.
	r.config(r.site("alpha", a, "one"), beta, gamma)
	b.eval(`document.querySelector('form[method=post] button').click()`, nil)
	b.wait(`!window.same && document.readyState === 'complete' && location.hash === '#reload' && location.search === ''`)
	b.want(`document.querySelector('#reload .error').textContent === 'by page' && document.getElementById('reload').open`)
	b.eval(`document.querySelector('form[action="/#plan"] button').click()`, nil)
	b.wait(`document.querySelector('#plan pre')?.textContent.startsWith('No changes')`)
	b.eval(lookAnew+`; window.before = document.getElementById('live').dataset.now`, nil)
	b.wait(`document.getElementById('live').dataset.now !== window.before`)
	b.want(`document.querySelector('#plan pre')`) // until the person leaves it

	for _, width := range []int{360, 768, 1000, 1200} {
		b.see(width, 800, "dark")
		b.eval(`document.querySelectorAll('details').forEach(d => d.open = true)`, nil)
		b.want(fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, width))
	}
	shownColumns := `[...document.querySelectorAll('#sites thead th')].filter(c => getComputedStyle(c).visibility === 'visible' && c.offsetWidth > 0).map(c => c.textContent).join()`
	for _, tt := range []struct {
		width int
		table bool
		want  string
	}{
		{1200, true, "Site,State,Req/s,Errors,p50,p99,Conns,In flight,Generation,Last 5 minutes"},
		{1000, true, "Site,State,Req/s,Errors,p50,p99,Generation,Last 5 minutes"},
		{900, true, "Site,State,Req/s,Errors,p50,p99,Generation"},
		{725, true, "Site,State,Req/s,Errors,p99,Generation"},
		{700, false, "Site,State,Req/s,Errors,p50,p99,Conns,In flight,Generation"},
	} {
		b.see(tt.width, 800, "light")
		b.want(fmt.Sprintf(`%s === %q && (getComputedStyle(document.getElementById('sites')).display === 'table') === %t`, shownColumns, tt.want, tt.table))
		b.want(`document.querySelector('#sites .name').getBoundingClientRect().right <= document.querySelector('#sites tbody .st').getBoundingClientRect().left || ` + fmt.Sprint(!tt.table))
		b.want(fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, tt.width))
	}
	b.see(360, 800, "light")
	b.want(`Math.abs(document.getElementById('find').getBoundingClientRect().left - document.getElementById('sites').getBoundingClientRect().left) < 1`)
	if len(b.errors) > 0 {
		t.Errorf("the console says: %q", b.errors)
	}

	r.end()
	b.eval(lookAnew, nil)
	b.wait(`document.getElementById('lost').textContent.startsWith('Connection to sited lost')`)
	b.want(`document.getElementById('age').textContent.startsWith('Data is ')`)
}

// failuresOnPage are the parts of the page that begin a failed request.
func failuresOnPage(r *rig) [][]int { return failureElement.FindAllStringIndex(r.page("/"), -1) }

// A page that nobody looks at asks for nothing.
func TestStatusPageHidden(t *testing.T) {
	r := run(t, func(r *rig) []string { return []string{r.site("a", r.port(), "A")} })
	b := startBrowser(t)
	b.open("http://" + r.addr(r.admin) + "/")
	b.wait(`document.getElementById('age').textContent === 'Live'`)
	b.eval(`window.asked = 0; const ask = window.fetch; window.fetch = (...args) => { window.asked++; return ask(...args); }`, nil)
	b.pass(20000)
	b.want(`window.asked >= 2`)
	b.eval(`Object.defineProperty(document, 'hidden', { value: true, configurable: true }); `+lookAnew+`; window.asked = 0`, nil)
	b.pass(60000)
	b.want(`window.asked === 0`)
	b.eval(`Object.defineProperty(document, 'hidden', { value: false, configurable: true }); `+lookAnew, nil)
	b.want(`window.asked === 1`)
}
