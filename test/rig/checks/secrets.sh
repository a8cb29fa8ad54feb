# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# secrets.sh: passwords by systemd's credentials, to a Mosquitto that asks for
# one. The files are root's alone, and the agent cannot read them there.
systemctl stop egret
d=/etc/rig-secrets
mkdir -p $d && chmod 700 $d
printf 'right\n' >$d/mqtt-password
printf 'opensesame-opensesame\n' >$d/api-token
chmod 600 $d/*
printf 'listener 1884 127.0.0.1\nallow_anonymous false\npassword_file /tmp/rig.pw\n' >/tmp/rig-mosquitto.conf
: >/tmp/rig.pw
mosquitto_passwd -b /tmp/rig.pw egret right
mosquitto_passwd -b /tmp/rig.pw reader read
chmod 644 /tmp/rig.pw /tmp/rig-mosquitto.conf
mosquitto -c /tmp/rig-mosquitto.conf >/tmp/rig-mosquitto.log 2>&1 &
guarded=$!
reads() { timeout $((20 * FACTOR)) mosquitto_sub -p 1884 -u reader -P read -C 1 -t "$topic/predictions" | grep '"camera"'; }
code() { ask /api/status "$1" | grep -aq "^HTTP/1.[01] $2"; }
MORE='mqtt: {broker: "tcp://127.0.0.1:1884", username: egret, password_credential: mqtt-password}
api: {token_credential: api-token}' config guarded

start() { # start NAME LINE…: the unit with these lines is content
	local name=$1
	shift
	printf '%s\n' "[Service]" "$@" | drop_in secrets
	mark=$(date +%s)
	check "$name: the unit starts" systemctl restart egret
	eventually "$name: the broker lets the agent in" 40 reads
	check "$name: the API asks for its token" code "" 401
	check "$name: and takes it" code "Authorization: Bearer opensesame-opensesame" 200
}
start "LoadCredential" "LoadCredential=mqtt-password:$d/mqtt-password" "LoadCredential=api-token:$d/api-token"
check "the agent's user cannot read the file itself" sh -c "! setpriv --reuid=egret --regid=egret --clear-groups cat $d/mqtt-password"
check "the password stands in no environment and no command line" sh -c "! tr '\0' '\n' </proc/$(main_pid)/environ | grep -q right && ! tr '\0' '\n' </proc/$(main_pid)/cmdline | grep -q right"
check "the log does not have it" sh -c "! journalctl -u egret --no-pager -o cat | grep -q opensesame-opensesame"

if systemd-creds setup >/tmp/creds 2>&1 && systemd-creds encrypt --with-key=host --name=mqtt-password $d/mqtt-password $d/mqtt.cred >>/tmp/creds 2>&1; then
	start "LoadCredentialEncrypted" "LoadCredentialEncrypted=mqtt-password:$d/mqtt.cred" "LoadCredential=api-token:$d/api-token"
	check "the encrypted file does not have it" sh -c "! grep -q right $d/mqtt.cred"
	inline=$(systemd-creds encrypt --with-key=host --name=mqtt-password -p $d/mqtt-password -)
	start "SetCredentialEncrypted" "$inline" "LoadCredential=api-token:$d/api-token"
else
	not_ok "systemd-creds encrypts"
	sed 's/^/    /' /tmp/creds
fi
printf 'wrong\n' >$d/mqtt-password
printf '%s\n' "[Service]" "LoadCredential=mqtt-password:$d/mqtt-password" "LoadCredential=api-token:$d/api-token" | drop_in secrets
mark=$(date +%s)
systemctl restart egret
eventually "a wrong password: the agent says that the broker refuses it" 40 log_has 'refuses the connection'
check "and runs on" running
no_drop_in secrets
systemctl stop egret
systemctl start egret >/dev/null 2>&1
check "without the credential it fails at the start and names the line that is missing" log_has 'add LoadCredential=mqtt-password'
kill "$guarded"
rm -rf $d
systemctl reset-failed egret 2>/dev/null
config front
check "without secrets again" systemctl start egret
