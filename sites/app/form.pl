# A form, and what was sent with it. sites.hcl runs it by
# script ".pl" { command = ["perl"] }, so it needs no x bit, and nothing but
# perl-base, which every Debian has.
use strict;
use warnings;

my $most = 64 * 1024;    # bytes of a form; the site's limits.max_body bounds it too

# escape makes text safe inside HTML, attribute values included.
sub escape {
    my ($text) = @_;
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');
    $text =~ s/([&<>"'])/$entity{$1}/g;
    return $text;
}

# decode takes the encoding of a name or a value off.
sub decode {
    my ($text) = @_;
    $text =~ tr{+}{ };
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return $text;
}

# fields reads application/x-www-form-urlencoded; the last of a name counts.
sub fields {
    my ($body) = @_;
    my %field;
    for my $pair (split /&/, $body) {
        my ($name, $value) = map { decode($_) } split(/=/, $pair, 2), '';
        $field{$name} = $value;
    }
    return \%field;
}

sub page {
    my ($status, $content) = @_;
    print <<"END";
Status: $status
Content-Type: text/html; charset=utf-8
Content-Security-Policy: default-src 'self'
Cache-Control: no-store

<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>sited: form.pl</title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
  <h1>form.pl</h1>
$content
  <p><a href="/">Back to the list</a></p>
</main>
</body>
</html>
END
    exit 0;
}

my $form = <<'END';
  <form method="post" action="/form.pl">
    <label>Name <input name="name" autocomplete="off" required maxlength="100"></label>
    <label>Text <textarea name="text" rows="4" maxlength="2000"></textarea></label>
    <div><button type="submit">Send by POST</button></div>
  </form>
END

if (($ENV{REQUEST_METHOD} // '') ne 'POST') {
    page('200 OK', "  <p class=\"lead\">What you send comes back, escaped, and is kept nowhere.</p>\n$form");
}

my $length = $ENV{CONTENT_LENGTH} || 0;
page('413 Content Too Large', "  <p>That was more than $most bytes.</p>") if $length > $most;
my $body = '';
while (length $body < $length) {
    my $n = read STDIN, $body, $length - length $body, length $body;
    page('400 Bad Request', '  <p>The body ended early.</p>') unless $n;
}

my $field = fields($body);
my $rows = join '', map {
    sprintf qq{      <tr><td>%s</td><td class="value">%s</td></tr>\n}, escape($_), escape($field->{$_})
} sort keys %$field;
page('200 OK', <<"END");
  <p class="lead">You sent $length bytes.</p>
  <table>
    <thead><tr><th scope="col">Field</th><th scope="col">Value</th></tr></thead>
    <tbody>
$rows    </tbody>
  </table>
$form
END
