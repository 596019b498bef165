#!/bin/sh
# The list of the demo scripts. It runs for "/" because sites.hcl says
# index = ["index.cgi"].
set -eu

if command -v php-cgi >/dev/null 2>&1; then
	php='<a href="/hello.php">hello.php</a>, by php-cgi'
else
	php='hello.php gets 503 until php-cgi is installed (Debian: <code>apt-get install php-cgi</code>); the rest does without'
fi

cat <<END
Content-Type: text/html; charset=utf-8
Content-Security-Policy: default-src 'self'

<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>sited: scripts</title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
  <strong>sited</strong>
  <nav aria-label="Sites">
    <a href="http://127.0.0.1:8081/">welcome</a>
    <a href="/" aria-current="page">app</a>
    <a href="http://127.0.0.1:8083/">upload</a>
  </nav>
</header>
<main>
  <h1>Scripts</h1>
  <p class="lead">A process for each request, by CGI/1.1. This page is the output of one:
    <code>sites/app/index.cgi</code>, a shell script.</p>
  <ul class="cards">
    <li><h3><a href="/env.cgi/some/path?q=1">env.cgi</a></h3>
      <p>Shell, executed itself. What a script is told about the request.</p></li>
    <li><h3><a href="/form.pl">form.pl</a></h3>
      <p>Perl, by its interpreter. A form, sent by POST.</p></li>
    <li><h3><a href="/clock.cgi">clock.cgi</a></h3>
      <p>Shell. Five lines, one a second: output is passed on while it is written.</p></li>
    <li><h3>PHP</h3>
      <p>$php.</p></li>
  </ul>
  <h2>What is never sent</h2>
  <p>The source. A file with a script's extension and no <code>script</code> block gets 403:
    <a href="/never.asp">never.asp</a> is there, and refused.</p>
</main>
<footer>Served from <code>sites/app</code>.</footer>
</body>
</html>
END
