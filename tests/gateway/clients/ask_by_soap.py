"""Asks for tokens' states from the WSDL on: ask_by_soap.py GATEWAY TOKEN..."""
import json
import sys

import zeep

gateway, *tokens = sys.argv[1:]
client = zeep.Client(gateway + "/Forms/WebServices/SSOService.asmx?WSDL")
for port in ("SSOServiceSoap", "SSOServiceSoap12"):
    service = client.bind("SSOService", port)
    states = [service.GetSSOTokenStatus(token=token) for token in tokens]
    try:
        service.GetSSOTokenStatus(token="")
        fault = None
    except zeep.exceptions.Fault as error:
        fault = error.message
    print(json.dumps({"port": port, "states": states, "fault": fault}), flush=True)
