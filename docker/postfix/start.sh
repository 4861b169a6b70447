# Settings from the environment, then Postfix in the foreground. MILTER: greymx, as in smtpd_milters; MAIL_DOMAINS:
# whose mail is taken; MAIL_RELAY: the host that gets it, or nothing to throw it away, which is enough to try greymx.
set -eu
if [ -n "${MAIL_RELAY:-}" ]; then transport="smtp:[$MAIL_RELAY]"; else transport=discard:; fi
postconf -e "myhostname = $(hostname)" "relay_domains = $MAIL_DOMAINS" "relay_transport = $transport" \
  "smtpd_milters = { $MILTER, default_action=accept }"
# Debian runs the daemons in a chroot, which knows nothing of the container's name server.
postconf -F '*/*/chroot = n'
exec postfix start-fg
