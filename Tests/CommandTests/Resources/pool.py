"""A user pool and an identity pool that ask for what the user's name says and believe every answer but a wrong code.

Prints its port, then serves until standard input ends. "code" is asked for a code, "fresh" for a new password, "choose"
for a factor; anybody else is signed in at once. The password is never checked: the proof of it is tested elsewhere.
"""
import base64, http.server, json, sys, threading, time

POOL, IDENTITY = "eu-west-1_Ab3dEf9Hi", "eu-west-1:11111111-2222-3333-4444-555555555555"


def token(use, user):
    now = int(time.time())
    claims = {"iss": "https://cognito-idp.eu-west-1.amazonaws.com/" + POOL, "sub": "sub-of-" + user, "token_use": use,
              "cognito:username": user, "iat": now, "exp": now + 3600}
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    return ".".join([part({"alg": "RS256"}), part(claims), "c2ln"])


def signed_in(user):
    return {"AuthenticationResult": {"AccessToken": token("access", user), "IdToken": token("id", user),
                                     "RefreshToken": "refresh", "ExpiresIn": 3600, "TokenType": "Bearer"}}


def challenge(name, **parameters):
    return {"ChallengeName": name, "Session": "session", "ChallengeParameters": parameters}


def answer(operation, body):
    if operation == "InitiateAuth":
        user = body["AuthParameters"]["USERNAME"]
        if user == "wrong":
            return 400, {"__type": "NotAuthorizedException", "message": "Incorrect username or password."}
        return 200, challenge("PASSWORD_VERIFIER", SALT="ab12", SRP_B="c0ffee" * 40, SECRET_BLOCK="YmxvY2s=",
                              USER_ID_FOR_SRP=user, USERNAME=user)
    if operation == "RespondToAuthChallenge":
        name, given = body["ChallengeName"], body["ChallengeResponses"]
        user = given["USERNAME"]
        if name == "PASSWORD_VERIFIER" and user == "code":
            return 200, challenge("SMS_MFA", CODE_DELIVERY_DESTINATION="+*******1234", CODE_DELIVERY_DELIVERY_MEDIUM="SMS")
        if name == "PASSWORD_VERIFIER" and user == "fresh":
            return 200, challenge("NEW_PASSWORD_REQUIRED", userAttributes="{}", requiredAttributes="[\"userAttributes.name\"]")
        if name == "PASSWORD_VERIFIER" and user == "choose":
            return 200, challenge("SELECT_MFA_TYPE", MFAS_CAN_CHOOSE="[\"SMS_MFA\",\"SOFTWARE_TOKEN_MFA\"]")
        if name == "SELECT_MFA_TYPE":
            return 200, challenge(given["ANSWER"])
        if name.endswith("_MFA") and given.get(name + "_CODE") != "123456":
            return 400, {"__type": "CodeMismatchException", "message": "Invalid code"}
        if name == "NEW_PASSWORD_REQUIRED" and (given["NEW_PASSWORD"], given.get("userAttributes.name")) != ("N3w-pass", "Anna"):
            return 400, {"__type": "InvalidPasswordException", "message": "Too short"}
        return 200, signed_in(user)
    if operation == "GetId":
        return 200, {"IdentityId": IDENTITY}
    if operation == "GetCredentialsForIdentity":
        return 200, {"IdentityId": IDENTITY, "Credentials": {
            "AccessKeyId": "ASIAEXAMPLEEXAMPLE00", "SecretKey": "secret-key-of-the-role", "SessionToken": "session-token",
            "Expiration": time.time() + 3600}}
    return 200, {}


class Pool(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, reply = answer(self.headers["X-Amz-Target"].split(".")[-1], body)
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pool)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
