// The lists that Debian ships with sqlgrey 1.8.0, entry by entry in sqlgrey's own form and without the comments, and
// the words by which sqlgrey tells mail servers and lines of end users. Debian installs them in /etc/sqlgrey as
// clients_fqdn_whitelist, clients_ip_whitelist, smtp_server.regexp and dyn_fqdn.regexp. They are data of a peer, so that
// it can be simulated as its users have it; greymx itself does not use them. A test compares them with Debian's files.
// Source: package sqlgrey 1:1.8.0-4 of Debian 12, the same in Debian 13. Copyright 2004-2010 Lionel Bouton; GNU General
// Public License, version 2.

/** Host names, `*.` and a domain for all names below it, and patterns. */
export const SQLGREY_NAMES = String.raw`
*.southwest.com
*.scd.yahoo.com
*.ameritradeinfo.com
*.amazon.com
isp.belgacom.be
*.karger.ch
gw.bas.roche.com
mail.hhlaw.com
prd051.appliedbiosystems.com
*.swissre.com
/^ms-smtp.*\.rr\.com$/
/^lake.*mta.*\.cox\.net$/
*.mot.com
*.cs.columbia.edu
cs.columbia.edu
p01m1689.mxlogic.net
p02m169.mxlogic.net
*.nic.fr
/^sc\d+pub\.verizon\.net$/
*.freshmeat.net
server-x001.hostpoint.ch
accor-hotels.com
/^mail\d+\.telekom\.de$/
/^smtp\d+\.tiscali\.dk$/
returns.dowjones.com
*.zd-swx.com
lockergnome.wc09.net
/^fmr\d+\.intel\.com$/
unitymail.alapage.com
smtp.mandrake.org
smtp.mandriva.org
*.emailebay.com
public.wavexservices.com
mail.optimumreturn.com
mx.00.zh.cs.ciphire.net
mx.01.zh.cs.ciphire.net
mx.00.mc.cs.ciphire.net
mx.01.mc.cs.ciphire.net
mx.00.by.cs.ciphire.net
mx.01.by.cs.ciphire.net
mail-par.bigfish.com
mail-haw.bigfish.com
*.cacert.org
mail.gl-group.com
`

/** Addresses, and networks of 24 bits by their first three numbers. */
export const SQLGREY_ADDRESSES = `
12.5.136.141
12.5.136.142
12.107.209.250
63.82.37.110
64.7.153.18
64.12.137
64.12.138
64.124.204.39
64.125.132.254
66.100.210.82
66.135.209
66.135.197
66.162.216.166
66.206.22.82
66.206.22.83
66.206.22.84
66.206.22.85
66.218.66
66.218.67
66.218.69
66.27.51.218
152.163.225
194.245.101.88
195.235.39.19
195.238.2.105
195.238.2.124
195.238.3.12
195.238.3.13
204.107.120.10
205.188.139.136
205.188.139.137
205.188.144.207
205.188.144.208
205.188.156.66
205.188.157
205.188.159.7
205.206.231
205.211.164.50
207.115.63
207.171.168
207.171.180
207.171.187
207.171.188
207.171.190
211.29.132
213.136.52.31
217.158.50.178
192.204.19.13
212.27.42
`

/** Words of a host name that tell of a mail server. */
const SERVER_WORDS = [
  ...['apache', 'bounce', 'bulk', 'delay', 'dns', 'ns', 'external', 'extranet', 'filter', 'firewall'],
  ...['forward', 'gateway', 'gw', 'list', 'lists', 'liste', 'listes', 'mlist', 'mlists', 'mliste', 'mlistes'],
  ...['mail', 'bulkmail', 'deadmail', 'massmail', 'sendmail', 'email', 'qmail', 'wmail'],
  ...['mailer', 'bulkmailer', 'deadmailer', 'massmailer', 'sendmailer', 'emailer', 'qmailer', 'wmailer'],
  ...['mailagent', 'mailhost', 'mailhub', 'mailscan', 'mailscanner'],
  ...['emailagent', 'emailhost', 'emailhub', 'emailscan', 'emailscanner'],
  ...['messagerie', 'mta', 'mx', 'vmx', 'out', 'outbound', 'pop', 'postfix', 'proxy', 'wproxy', 'relais'],
  ...['relay', 'server', 'serveur', 'smarthost', 'smtp', 'vsmtp', 'web', 'www'],
]

/** What may follow a word of `SERVER_WORDS`, before a number. */
const SERVER_ENDINGS = ['gate', 'mail', 'mx', 'pool', 'out', 'server']

/** Words of a host name that tell of a line of an end user. */
const LINE_WORDS = [
  ...['abo', 'bredband', 'broadband', 'cabel', 'cable', 'cablep', 'hkcable', 'hkcablep', 'catv', 'cbl'],
  ...['cidr', 'client', 'client2', 'dclient', 'dclient2', 'cust', 'custs', 'customer', 'customers', 'dhcp'],
  ...['dia', 'diain', 'diaup', 'dial', 'dialin', 'dialup', 'dip', 'dup', 'dsl', 'dsld', 'adsl', 'adsld'],
  ...['sdsl', 'sdsld', 'xdsl', 'xdsld', 'dyn', 'dyna', 'dynadsl', 'dynamic', 'home', 'in-addr', 'modem'],
  ...['modemcable', 'pool', 'dipool', 'ppp', 'ptr', 'rev', 'static', 'user'],
]

/** Parts of the names that some providers give to lines of end users. */
const LINE_PATTERNS = [
  /YahooBB[0-9]{12}/,
  /c[A-Za-z0-9]{6,}(?:\.[a-z]{3})?\.virtua/,
  /[1-9]Cust[0-9]+/,
  /AC[A-Z][0-9A-F]{5}\.ipt/,
  /pcp[0-9]{6,}pcs/,
  /S0106[A-Za-z0-9]{12,}\.[a-z]{2}/,
]

/** Letters that may stand before the last number of an address in the name of a line. */
export const NUMBER_PREFIXES = ['c', 'cm', 'gv', 'h', 'ip', 'host', 'm', 'p', 'pa', 'pc', 'pu']

/** Matches a name of which a part, up to a separator, is a word of a mail server with an ending or a number behind it. */
export const SERVER_NAME = new RegExp(
  // sqlgrey has (.+[._-])* at the start, which matches the same names, but may take a machine a long time.
  `^(?:.+[._-])?(?:${SERVER_WORDS.join('|')})(?:${SERVER_ENDINGS.join('|')})?[0-9]*[._-]`,
  'i',
)

/** Matches a name of which a part between separators or numbers is a word of a line, or in the manner of one. */
export const LINE_NAME = new RegExp(
  `(?:^|[0-9.x_-])(?:${[...LINE_WORDS, ...LINE_PATTERNS.map(({ source }) => source)].join('|')})[0-9.x_-]`,
  'i',
)
