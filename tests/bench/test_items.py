import unittest

import items


class Items(unittest.TestCase):
    def test_names(self):
        for name, item in {"unet-512": items.Network("unet", 512, 2), "unet-512-16": items.Network("unet", 512, 16),
                           "vae_decode-256": items.Network("vae_decode", 256, 1), "pictures-8": items.Pictures(8), "serve": items.Serve()}.items():
            self.assertEqual(items.read(name), item)
        for name in ("", "unet", "unet-0", "unet-512-", "unet-512-0", "vae_decode-512-2", "pictures-0", "pictures-x", "serve-1", "text_encoder-512"):
            self.assertIsNone(items.read(name), name)

    def test_every_device_has_a_report_of_what_there_is(self):
        for device in items.DEVICES.values():
            self.assertTrue(all(items.read(name) for name in device.items))
            self.assertLessEqual(set(device.peers), set(items.PEERS))


if __name__ == "__main__":
    unittest.main()
