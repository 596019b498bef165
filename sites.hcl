# What sited hosts: the demo, and a tour of the language from top to bottom.
#
#   go run ./cmd/sited run          serve it
#   go run ./cmd/sited validate     say what is wrong with it, and where
#   go run ./cmd/sited fmt          put it into the canonical layout
#
# Save it while sited runs, and what changed is taken in. Paths are relative to
# the folder this file is in. Everything that can be said, with its default and
# its unit, is in docs/configuration.md.

# The admin address tells about all sites: /metrics for Prometheus, /healthz,
# /readyz, /api/sites. Keep it on loopback, or behind something that asks who
# is there. This is what you get without the block.
admin {
  ip   = "127.0.0.1"
  port = 9180
}

# Values with a name, for use as local.<name>. env() asks for an environment
# variable, and has a default for when it isn't set: the php-cgi of this machine
# may have another name.
locals {
  php = env("PHP_CGI", "php-cgi")
}

# What every site says unless it says otherwise. Anything but port, hosts and
# root can be here. A list that a site gives takes the place of this one; inside
# limits, timeouts and logs each argument counts for itself.
defaults {
  ip      = "127.0.0.1"
  methods = ["GET", "HEAD", "OPTIONS"] # any other that HTTP knows: 405

  timeouts {
    header = "10s" # from the first byte of a request to the end of its head: 408
    idle   = "60s" # between two requests of a connection
    drain  = "10s" # for what is in flight when the site is changed or stopped
  }
}

# The least there is: an address and a folder. The label is the site's name, in
# the metrics (site="welcome") and in the paths of its logs, which are
# logs/welcome/passed.log and logs/welcome/failed.log.
site "welcome" {
  port = 8081
  root = "sites/welcome"
}

# Scripts and a tunnel.
site "app" {
  port    = 8082
  root    = "sites/app"
  index   = ["index.cgi", "index.html"] # what "/" stands for: the first that is there
  methods = ["GET", "HEAD", "POST", "OPTIONS", "CONNECT"]

  # Files that end in .cgi are executed themselves: they need their x bit and a
  # #! line. One process a request, at most 8 at once; a request that finds none
  # free waits a while, then gets 503.
  script ".cgi" {
    workers = 8
    timeout = "10s" # the longest wait for output: 504
  }

  # Files that end in .pl are handed to an interpreter, and need no x bit.
  script ".pl" {
    command = ["perl"]
  }

  # Where php-cgi is not installed, the site serves everything else, and .php
  # files get 503: never their source.
  script ".php" {
    command = [local.php]
  }

  # CONNECT opens tunnels to these targets and no others. A target that is a name
  # ("*.example.org:443") never leads to an address of the inner network; an
  # address written out, such as this one of the site above, is meant.
  connect {
    allow = ["127.0.0.1:8081"]
  }

  # What became of the requests: answers below 400 to one file, the rest, with
  # those that could not even be parsed, to the other. An empty path turns one
  # off. format is "json" (the default) or "combined".
  logs {
    passed = "logs/app/passed.log"
    failed = "logs/app/failed.log"
    format = "combined"
  }
}

# Uploads, and files behind a password.
site "upload" {
  port    = 8083
  root    = "sites/upload"
  methods = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]

  # Who is who: an htpasswd file with bcrypt hashes, read again when it changes.
  # DEMO ONLY: the user is "demo", and so is the password. Make your own with
  # `sited passwd users.htpasswd alice`, and keep it out of every root.
  passwords = "sites/users.htpasswd"

  # The first protect block that matches path and method decides. This one asks
  # everybody, whatever the method; any user of the file will do.
  protect "/private/**" {}

  # Reading is free; changing takes this user. Without such a block sited warns:
  # anybody could write.
  protect "/**" {
    methods = ["PUT", "DELETE"]
    users   = ["demo"]
  }

  limits {
    max_body        = "64MiB" # 413 beyond; 1MiB unless said otherwise
    max_connections = 1000    # 503 beyond
  }
}
