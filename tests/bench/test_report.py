import unittest

import report

# Figures that nobody measured.
GPU = {"device": "A GPU", "precision": "bfloat16", "peak_gflops": 500_000.0, "processor": "A processor", "versions": {"torch": "1"}, "model": None}
PROCESSOR = {"isa": "Avx512", "threads": 2, "peak_gflops": 400.0, "peak_gflops_of_one_thread": 200.0, "memory_gigabytes_per_second": 30.0,
             "processor": "A processor", "versions": {"torch": "1", "OpenVINO": "2"}, "model": None}


def network(seconds, agreement=0.01):
    return {"rows": 2, "gflop": 1000.0, "seconds": {who: [time] * 3 for who, time in seconds.items()},
            "agreement": {peer: {"relative": agreement} for peer in seconds if peer != "x0"}}


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


class Report(unittest.TestCase):
    def test_networks_of_a_gpu(self):
        results = {"machine": GPU, "vae_decode-512": network({"x0": 0.01}), "unet-512-16": network({"x0": 0.01, "eager": 0.03}) | {"rows": 16},
                   "unet-512": network({"x0": 0.004, "eager": 0.008, "compiled": 0.006})}
        text = report.markdown(results)
        head, _, *lines = rows(text)
        self.assertEqual(head, ["", "GFLOP", "x0, ms", "TFLOP/s", "of peak", "torch, ms", "torch compiled, ms", "torch / x0", "torch compiled / x0",
                                "differs from torch"])
        self.assertEqual(lines[0], ["UNet, 512 × 512, a guided step (2 rows)", "1000", "4", "250", "50%", "8", "6", "**2.00** (2.00–2.00)",
                                    "**1.50** (1.50–1.50)", "1e-02"])
        # Who was not measured has no figure.
        self.assertEqual(lines[1], ["UNet, 512 × 512, 16 rows", "1000", "10", "100", "20%", "30", "", "**3.00** (3.00–3.00)", "", "1e-02"])
        self.assertEqual(lines[2], ["VAE decoder, 512 × 512", "1000", "10", "100", "20%", "", "", "", "", ""])
        self.assertIn("500 TFLOP/s in bfloat16", text)

    def test_networks_of_a_processor(self):
        head, _, line = rows(report.markdown({"machine": PROCESSOR, "unet-256": network({"x0": 5.0, "eager": 10.0, "openvino": 4.0})}))
        self.assertEqual(head, ["", "GFLOP", "x0, s", "GFLOP/s", "of peak", "torch, s", "OpenVINO, s", "torch / x0", "OpenVINO / x0", "differs from torch"])
        self.assertEqual(line[2:7], ["5", "200", "50%", "10", "4"])

    def test_x0_alone(self):
        text = report.markdown({"machine": GPU | {"versions": {}}, "unet-512": network({"x0": 0.004})})
        self.assertEqual(rows(text)[0], ["", "GFLOP", "x0, ms", "TFLOP/s", "of peak"])
        self.assertIn("x0 was measured alone", text)
        self.assertNotIn("Peers", text)

    def test_pictures(self):
        def made(at_once, pictures, seconds):
            return {"at_once": at_once, "pictures": pictures, "gflop": 30_000.0, "seconds": {who: [time] * 3 for who, time in seconds.items()}}

        results = {"machine": GPU, "pictures-4": made(4, 16, {"x0": 2.0, "eager": 4.0}), "pictures-1": made(1, 1, {"x0": 0.25, "eager": 1.0})}
        text = report.markdown(results)
        self.assertEqual(rows(text)[2:], [["1", "2", "4", "24%", "1", "**4.00** (4.00–4.00)"], ["4", "8", "8", "48%", "4", "**2.00** (2.00–2.00)"]])
        self.assertIn("One picture alone takes: x0 0.250 s, torch 1.000 s.", text)

    def test_previews(self):
        text = report.markdown({"machine": GPU, "preview": {"previews": 20, "seconds": {"with": [1.1, 1.1], "without": [1.0, 1.0]}}})
        self.assertIn("1.100 times (1.100–1.100)", text)
        self.assertIn("5.00 ms a preview", text)

    def test_serving(self):
        def policy(name, goodput, *trials):
            return {"policy": name, "goodput": goodput and {"load": goodput, "requests_per_second": 10 * goodput},
                    "trials": [{"load": load, "in_time": share, "stopped": share < 0.9, "requests": 50, "different": 0,
                                "latency": dict.fromkeys(("p50", "p95", "p99"), 0.1), "first_preview": {"p50": 0.05}} for load, share in trials]}

        policies = [policy("best-value", 1.0, (0.5, 1.0), (1.0, 0.92), (1.5, 0.8)), policy("first-come", 0.5, (0.5, 0.9)), policy("fixed-batch:8", None, (0.5, 0.1))]
        text = report.markdown({"machine": GPU, "serve": {"models": ["full-size"], "policies": policies}})
        self.assertEqual([line[:3] for line in rows(text)[2:]], [["best-value", "1.00", "92%"], ["first-come", "0.50", "90%"]])
        self.assertIn("Goodput of best-value: 10.00 requests a second, 2.0 times that of first-come.", text)
        self.assertIn("Of 250 pictures none had other bytes than alone.", text)


if __name__ == "__main__":
    unittest.main()
