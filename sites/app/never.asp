<% ' No script block of sites.hcl runs this, so nobody ever sees it: 403. %>
