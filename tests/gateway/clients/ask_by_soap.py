"""Asks for tokens' states from the WSDL on: ask_by_soap.py GATEWAY TOKEN..."""
import json
import sys

import zeep

gateway, *tokens = sys.argv[1:]
client = zeep.Client(gateway + "/Forms/WebServices/SSOService.asmx?WSDL")
for port in ("SSOServiceSoap", "SSOServiceSoap12"):
    service = client.bind("SSOService", port)
    states = [service.GetSSOTokenStatus(token=token) for token in tokens]
    # A call without its parameter, which the library would not send by itself.
    call = client.create_message(service, "GetSSOTokenStatus", token="")
    for token in call.findall(".//{*}token"):
        token.getparent().remove(token)
    binding, address = service._binding, service._binding_options["address"]
    types = {"SSOServiceSoap": "text/xml", "SSOServiceSoap12": "application/soap+xml"}
    answer = client.transport.post_xml(address, call, {"Content-Type": types[port]})
    try:
        binding.process_reply(client, binding.get("GetSSOTokenStatus"), answer)
        fault = None
    except zeep.exceptions.Fault as error:
        fault = error.message
    print(json.dumps({"port": port, "states": states, "fault": fault}), flush=True)
