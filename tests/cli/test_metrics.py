# SPDX-License-Identifier: Apache-2.0
"""What monitoring and other units are told: /run/modulus/metrics.prom by a strict reader of its format, and
/run/modulus/ready, which is there only while all is well."""
import json
import os
import re
import subprocess

import pytest
import yaml

import promtext
from bundlemaker import RELEASE, digest_of
from cachemachine import CacheMachine, recipe
from fakehost import BUILD_ID
from program import DONE, TREE


class Host(CacheMachine):
    @property
    def ready(self) -> bool:
        return (self.live / "run/modulus/ready").exists()

    @property
    def metrics(self) -> dict[str, promtext.Family]:
        return promtext.parse((self.live / "run/modulus/metrics.prom").read_bytes())

    def value(self, name: str, **labels: str) -> float:
        """Of the only sample whose labels hold these."""
        (found,) = [value for have, value in self.metrics[f"modulus_{name}"].samples.items() if labels.items() <= dict(have).items()]
        return found

    def says(self, **members: object) -> None:
        """status.json is this; then whatever writes it again has run."""
        status = json.loads(self.status_file.read_text())
        status["drivers"][0].update(members)
        self.status_file.write_text(json.dumps(status))
        self.boot("bless")

    def loaded(self) -> bytes:
        self.device()
        self.module_is_live("alpha", "beta")
        data = recipe(serial=7, flavor="open").build()
        self.keep(data)
        assert self.boot().code == DONE
        return data


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_a_driver_that_is_loaded_is_described_whole(host):
    data = host.loaded()
    host.boot("finish")
    host.boot("bless")
    (driver,) = json.loads(host.status_file.read_text())["drivers"]
    assert host.value("driver_ok", driver="gpu") == 1
    assert host.value("driver_reason", driver="gpu", reason="loaded") == 1
    assert host.value("driver_seconds", driver="gpu") == pytest.approx(driver["us"] / 1e6)
    for phase in driver["phases"]:
        assert host.value("driver_phase_seconds", driver="gpu", phase=phase["name"]) == pytest.approx(phase["us"] / 1e6)
    assert host.value("driver_bundle_info", driver="gpu", version="1.0", flavor="open", serial="7", digest=digest_of(data),
                      source="cache", key=driver["key_id"]) == 1
    assert 0 < host.value("driver_bundle_bytes", driver="gpu") == driver["bytes"] < len(data)
    assert host.value("driver_rejected_bundles", driver="gpu") == 0
    assert host.value("driver_failed_attempts", driver="gpu") == 0
    assert host.value("info", kernel=RELEASE, machine=os.uname().machine, build_id=BUILD_ID) == 1
    assert [host.value(name) for name in ("ready", "finished", "blessed")] == [1, 1, 1]
    assert host.metrics["modulus_info"].kind == "gauge"


def test_each_half_of_the_boot_brings_it_up_to_date(host):
    host.loaded()
    assert (host.value("finished"), host.value("ready"), host.ready) == (0, 0, False)
    host.boot("finish")
    assert (host.value("finished"), host.value("blessed"), host.value("ready"), host.ready) == (1, 0, 1, True)


def test_attempts_that_brought_the_machine_down_are_counted(host):
    data = host.loaded()
    host.write_root(f"var/lib/modulus/trials/{RELEASE}/{digest_of(data)}-{BUILD_ID}.json",
                    json.dumps({"name": "gpu", "open": None, "misses": 2, "blessed": False}))
    host.boot("finish")
    assert host.value("driver_failed_attempts", driver="gpu") == 2


def blocked(host: Host, data: bytes) -> None:
    host.write_root(f"var/lib/modulus/trials/{RELEASE}/{digest_of(data)}-{BUILD_ID}.json",
                    json.dumps({"name": "gpu", "open": None, "misses": 3, "blessed": False}))


def test_a_bundle_that_is_blocked_is_missing_or_refused_and_has_no_attempts(host):
    """As docs/operations.md has it of its three alerts."""
    blocked(host, host.loaded())
    host.boot()
    host.boot("finish")
    assert host.value("driver_ok", driver="gpu") == 0 and host.value("driver_reason", driver="gpu", reason="blocked") == 1
    assert host.metrics["modulus_driver_failed_attempts"].samples == {}
    older = recipe(serial=6, flavor="open").build()
    host.keep(older)
    host.boot()
    host.boot("finish")
    assert host.value("driver_ok", driver="gpu") == 1 and host.value("driver_bundle_info", driver="gpu", digest=digest_of(older)) == 1
    assert (host.value("driver_failed_attempts", driver="gpu"), host.value("driver_rejected_bundles", driver="gpu")) == (0, 1)


def test_the_alerts_of_the_page_are_about_metrics_that_are_there(host):
    host.loaded()
    host.boot("finish")
    (page,) = re.findall(r"^groups:\n.*?(?=^```)", (TREE / "docs/operations.md").read_text(), flags=re.M | re.S)
    named = [name for rule in yaml.safe_load(page)["groups"][0]["rules"] for name in re.findall(r"modulus_\w+", rule["expr"])]
    assert len(set(named)) == 3 and [name for name in named if len(host.metrics[name].samples) != 1] == []


def test_a_driver_that_failed_says_why(host):
    host.device()
    host.boot()
    host.boot("finish")
    assert host.value("driver_ok", driver="gpu") == 0
    assert host.value("driver_reason", driver="gpu", reason="no-bundle") == 1
    assert host.metrics["modulus_driver_bundle_info"].samples == {}
    assert not host.ready and host.value("ready") == 0


@pytest.mark.parametrize("text", ['quote " backslash \\ newline \n end', "\\n", '"', "ü€", "a,b=\"c\"}", ""])
def test_words_of_any_kind_come_out_as_they_went_in(host, text):
    host.loaded()
    host.boot("finish")
    host.says(source=text, version=text)
    assert host.value("driver_bundle_info", driver="gpu", source=text, version=text) == 1


def test_two_drivers_are_two_samples_of_one_metric(host):
    host.device()
    host.driver("other")
    host.boot()
    assert sorted(dict(labels)["driver"] for labels in host.metrics["modulus_driver_ok"].samples) == ["gpu", "other"]


# --- ready -----------------------------------------------------------------------------------------

def test_a_machine_without_the_device_is_ready(host):
    host.boot()
    host.boot("finish")
    assert host.ready and host.value("driver_ok", driver="gpu") == 1


def test_a_machine_whose_device_nothing_drives_is_not(host):
    host.boot()
    host.boot("finish")
    host.says(reason="no-device", devices=["0000:00:02.0"])
    assert not host.ready and host.value("driver_ok", driver="gpu") == 0


@pytest.mark.parametrize("reason, ready", [("loaded", True), ("no-device", True), ("disabled", False), ("init-failed", False),
                                           ("bad-config", False), ("a word of tomorrow", False)])
def test_which_outcomes_count_as_ready(host, reason, ready):
    host.boot()
    host.boot("finish")
    host.says(reason=reason)
    assert host.ready == ready


@pytest.mark.parametrize("reason, ready", [("loaded", True), ("no-bundle", False), ("network", False)])
def test_libraries_that_were_asked_for_count_too(host, reason, ready):
    host.loaded()
    host.boot("finish")
    host.says(runtime={"reason": reason})
    assert host.ready == ready and host.value("driver_runtime_ok", driver="gpu") == ready


def test_one_driver_that_is_not_ready_is_enough(host):
    host.boot()
    host.boot("finish")
    status = json.loads(host.status_file.read_text())
    status["drivers"].append({**status["drivers"][0], "name": "other", "reason": "corrupt"})
    host.status_file.write_text(json.dumps(status))
    host.boot("bless")
    assert not host.ready


# --- the target ------------------------------------------------------------------------------------

def test_each_unit_of_ours_that_could_make_it_ready_comes_before_the_target():
    target = (TREE / "ignition/units/modulus-ready.target").read_text()
    assert "AssertPathExists=/run/modulus/ready\n" in target
    assert not [line for line in target.splitlines() if line.startswith(("Wants=", "Requires="))]
    for unit in ("modulus-finish.service", "modulus-runtime.service", "modulus@.service"):
        lines = (TREE / "ignition/units" / unit).read_text().splitlines()
        assert any(line.startswith("Before=") and "modulus-ready.target" in line.removeprefix("Before=").split()
                   for line in lines), unit
        assert any(line.startswith("TimeoutStartSec=") and line != "TimeoutStartSec=infinity" for line in lines), unit


def test_systemd_understands_the_target(tmp_path):
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    (folder / "modulus-ready.target").write_bytes((TREE / "ignition/units/modulus-ready.target").read_bytes())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", folder / "modulus-ready.target"], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "modulus" in line]) == (0, [])


# --- the reader itself -----------------------------------------------------------------------------

@pytest.mark.parametrize("text", ["", "a 1", "# HELP a x\n# TYPE a gauge\na{b=\"c\",} 1\n", "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
                                  "# HELP a x\n# TYPE a gauge\na{b=\"\\x\"} 1\n", "# HELP a x\na 1\n", "# TYPE a gauge\na 1\n",
                                  "# HELP a x\n# TYPE a gauge\nb 1\n", "# HELP a x\n# TYPE a gauge\na 1 \n",
                                  "# HELP a x\n# TYPE a gauge\na{b=\"c\",b=\"d\"} 1\n", "# HELP a x\n# TYPE a gauge\na 0x1\n"])
def test_the_reader_refuses_what_the_format_does_not_have(text):
    with pytest.raises(promtext.Wrong):
        promtext.parse(text.encode())
