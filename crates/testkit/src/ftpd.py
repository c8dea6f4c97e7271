"""An FTP server for tests, on pyftpdlib: what other servers lack or refuse is chosen by arguments."""

import argparse
import logging
import os

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.servers import FTPServer

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int)
arguments.add_argument("--root")
arguments.add_argument("--user")
arguments.add_argument("--password")
arguments.add_argument("--permissions", default="elradfmwMT")
arguments.add_argument("--without", default="", help="commands that it does not know")
arguments.add_argument("--quota", type=int, help="bytes that it takes in all")
arguments.add_argument("--certificate")
arguments.add_argument("--key")
arguments.add_argument("--implicit", action="store_true")
arguments.add_argument("--pasv-address", help="the address that PASV answers with")
arguments.add_argument("--shorten", type=int, default=0, help="bytes of each upload that it loses")
given = arguments.parse_args()

logging.basicConfig(level=logging.DEBUG)

if given.certificate:
    from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler

    base, data_base = TLS_FTPHandler, TLS_DTPHandler
else:
    base, data_base = FTPHandler, DTPHandler


def used():
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(given.root)
        for name in names
    )


class Data(data_base):
    def handle_read(self):
        if given.quota is not None and self.get_transmitted_bytes() + self.cmd_channel.before > given.quota:
            self._resp = ("552 The quota is used up.", logging.debug)
            self.close()
            return
        super().handle_read()

    if not given.certificate:
        # What is called without TLS.
        handle_read_event = handle_read

    def close(self):
        if given.shorten and self.receive and self.file_obj is not None and not self.file_obj.closed:
            self.file_obj.flush()
            size = os.path.getsize(self.file_obj.name)
            os.truncate(self.file_obj.name, max(0, size - given.shorten))
        super().close()


class Control(base):
    dtp_handler = Data
    before = 0
    proto_cmds = {name: how for name, how in base.proto_cmds.items() if name not in given.without.split(",")}

    def ftp_STOR(self, file, mode="w"):
        self.before = used()
        return super().ftp_STOR(file, mode)

    def handle(self):
        if given.implicit:
            self.secure_connection(self.ssl_context)
        super().handle()


if given.certificate:
    Control.certfile = given.certificate
    Control.keyfile = given.key
    Control.tls_control_required = True
    Control.tls_data_required = True
if given.pasv_address:
    Control.masquerade_address = given.pasv_address

authorizer = DummyAuthorizer()
authorizer.add_user(given.user, given.password, given.root, perm=given.permissions)
Control.authorizer = authorizer
FTPServer(("127.0.0.1", given.port), Control).serve_forever()
