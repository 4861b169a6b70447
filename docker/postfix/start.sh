# Applies the settings of the environment, then runs Postfix in the foreground. MILTER is greymx, as in smtpd_milters.
# MAIL_DOMAINS are the domains whose mail is accepted. MAIL_RELAY is the host that gets the mail; without one, it is
# thrown away, which is enough to try greymx.
set -eu
if [ -n "${MAIL_RELAY:-}" ]; then transport="smtp:[$MAIL_RELAY]"; else transport=discard:; fi
postconf -e "myhostname = $(hostname)" "relay_domains = $MAIL_DOMAINS" "relay_transport = $transport" \
  "smtpd_milters = { $MILTER, default_action=accept }"
# Debian's chroot does not have the container's name server.
postconf -F '*/*/chroot = n'
exec postfix start-fg
