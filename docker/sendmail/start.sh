# Applies the settings of the environment, then runs Sendmail in the foreground. MAIL_DOMAINS are the domains whose mail
# is accepted. MAIL_RELAY is the host that gets the mail; without one, it is thrown away, which is enough to try greymx.
set -eu
cd /etc/mx
if [ -n "${MAIL_RELAY:-}" ]; then mailer="esmtp:[$MAIL_RELAY]"; else mailer=local:nobody; fi
for domain in $MAIL_DOMAINS; do
  echo "$domain" >&3
  echo "$domain $mailer" >&4
done 3> relay-domains 4> mailertable.txt
makemap hash mailertable < mailertable.txt
echo 'nobody: /dev/null' > aliases
sendmail -C sendmail.cf -bi

# Sendmail logs only through syslog(3).
busybox syslogd -n -f /dev/null -O - &
exec /usr/sbin/sendmail -C /etc/mx/sendmail.cf -bD -q1m
