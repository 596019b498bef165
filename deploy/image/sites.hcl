# What the container image serves until /etc/sited is mounted: the files in
# /srv/www, on port 8080.

# Every address of the container: who asks is in another one. Publish this port
# to nobody who is not to control sited.
admin {
  ip    = "0.0.0.0"
  port  = 9180
  hosts = ["sited"]
}

defaults {
  ip = "0.0.0.0"
}

site "www" {
  port = 8080
  root = "/srv/www"

  logs {
    passed = "/var/log/sited/www/passed.log"
    failed = "/var/log/sited/www/failed.log"
  }
}
