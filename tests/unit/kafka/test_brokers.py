import ssl
from pathlib import Path

import certifi
import pytest

from shared.kafka.brokers import Brokers, client_options


class TestOptions:
    def test_plain_addresses_need_nothing_more(self) -> None:
        assert client_options("a:9092,b:9092") == {
            "bootstrap_servers": "a:9092,b:9092",
            "security_protocol": "PLAINTEXT",
        }

    def test_a_user_signs_in_with_scram(self) -> None:
        options = Brokers("a:9092", "closeloop-scorer", "s3cret").client_options()

        assert options["security_protocol"] == "SASL_PLAINTEXT"
        assert options["sasl_mechanism"] == "SCRAM-SHA-512"
        assert (options["sasl_plain_username"], options["sasl_plain_password"]) == (
            "closeloop-scorer",
            "s3cret",
        )

    def test_a_certificate_authority_turns_tls_on_and_verifies(self) -> None:
        ca_file = Path(certifi.where())

        options = Brokers("a:9093", "closeloop-scorer", "s3cret", ca_file).client_options()

        assert options["security_protocol"] == "SASL_SSL"
        assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
        assert options["ssl_context"].check_hostname

    def test_a_file_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(OSError):
            Brokers("a:9093", ca_file=tmp_path / "none.crt").client_options()

    def test_the_password_is_never_shown(self) -> None:
        brokers = Brokers("a:9092", "closeloop-scorer", "s3cret")

        assert str(brokers) == "a:9092"
        assert "s3cret" not in repr(brokers)
