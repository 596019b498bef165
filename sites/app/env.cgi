#!/bin/sh
# What a script is told about a request: its environment (RFC 3875, section 4.1).
# All of it may come from the client, so every byte is escaped before it is
# printed. Cookies and credentials are left out.
set -eu

escape() {
	sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g' -e "s/'/\\&#39;/g"
}

cat <<'END'
Content-Type: text/html; charset=utf-8
Content-Security-Policy: default-src 'self'
Cache-Control: no-store

<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>sited: env.cgi</title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
  <h1>env.cgi</h1>
  <p class="lead">The environment of this script, for the request you just made.</p>
  <table>
    <thead><tr><th scope="col">Variable</th><th scope="col">Value</th></tr></thead>
    <tbody>
END

env | LC_ALL=C sort | grep -v -e '^HTTP_COOKIE' -e '^HTTP_AUTHORIZATION' -e '^HTTP_PROXY_AUTHORIZATION' | escape |
	sed -e 's|^\([A-Z0-9_]*\)=\(.*\)$|      <tr><td><code>\1</code></td><td class="value">\2</td></tr>|'

cat <<'END'
    </tbody>
  </table>
  <p><a href="/">Back to the list</a></p>
</main>
</body>
</html>
END
