# Succeeds while /readyz answers 200, or another path that is given. It is in bash, as a node process for each check
# would cost more than greymx itself.
exec 3<>/dev/tcp/127.0.0.1/10892
printf 'GET %s HTTP/1.0\r\n\r\n' "${1:-/readyz}" >&3
read -r -t 4 _ status _ <&3 && [ "$status" = 200 ]
