<?php
// Runs where php-cgi is installed. Whatever comes from the client is escaped.
declare(strict_types=1);

function text(mixed $value): string
{
    return htmlspecialchars(is_string($value) ? $value : '', ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}

header('Content-Type: text/html; charset=utf-8');
header("Content-Security-Policy: default-src 'self'");
header('Cache-Control: no-store');
header_remove('X-Powered-By');
?>
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>sited: hello.php</title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
  <h1>Hello<?= isset($_GET['name']) ? ', ' . text($_GET['name']) : '' ?></h1>
  <p class="lead">PHP <?= text(PHP_VERSION) ?>, by <?= text(PHP_SAPI) ?>.</p>
  <table>
    <thead><tr><th scope="col">What</th><th scope="col">Value</th></tr></thead>
    <tbody>
      <tr><td>Method</td><td class="value"><?= text($_SERVER['REQUEST_METHOD'] ?? '') ?></td></tr>
      <tr><td>Script</td><td class="value"><?= text($_SERVER['SCRIPT_NAME'] ?? '') ?></td></tr>
      <tr><td>Path info</td><td class="value"><?= text($_SERVER['PATH_INFO'] ?? '') ?></td></tr>
      <tr><td>Query</td><td class="value"><?= text($_SERVER['QUERY_STRING'] ?? '') ?></td></tr>
    </tbody>
  </table>
  <form method="get" action="/hello.php">
    <label>Your name <input name="name" autocomplete="off" maxlength="100"></label>
    <div><button type="submit">Say hello</button></div>
  </form>
  <p><a href="/">Back to the list</a></p>
</main>
</body>
</html>
