# The sites of compose.yaml: two of the demo. Save the file, and what changed is
# taken in. compose.yaml publishes the ports.

# Prometheus calls it by the service's name.
admin {
  ip    = "0.0.0.0"
  port  = 9180
  hosts = ["sited"]
}

defaults {
  ip = "0.0.0.0"

  timeouts {
    drain = "30s" # less than stop_grace_period
  }
}

site "welcome" {
  port = 8081
  root = "/srv/www/welcome"

  logs {
    passed = "/var/log/sited/welcome/passed.log"
    failed = "/var/log/sited/welcome/failed.log"
  }
}

site "app" {
  port    = 8082
  root    = "/srv/www/app"
  index   = ["index.cgi", "index.html"]
  methods = ["GET", "HEAD", "POST", "OPTIONS"]

  script ".cgi" {
    workers = 8
    timeout = "10s"
  }
  script ".pl" {
    command = ["perl"]
    workers = 4
  }
  script ".php" {
    command = ["php-cgi"]
    workers = 4
  }

  limits {
    max_in_flight = 200
  }
  logs {
    passed = "/var/log/sited/app/passed.log"
    failed = "/var/log/sited/app/failed.log"
  }
}
