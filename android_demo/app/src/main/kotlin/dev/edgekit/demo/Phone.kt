package dev.edgekit.demo

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.Debug
import android.os.PowerManager
import dev.edgekit.core.DeviceFacts
import dev.edgekit.core.MemoryFacts

/** What Android says of the phone it runs on. */
object Phone {
    /** Of this process, which on a 64-bit phone may be a 32-bit one. */
    val abi: String by lazy {
        (if (android.os.Process.is64Bit()) Build.SUPPORTED_64_BIT_ABIS else Build.SUPPORTED_32_BIT_ABIS).firstOrNull() ?: Build.SUPPORTED_ABIS[0]
    }

    fun facts(context: Context): DeviceFacts {
        val power = context.getSystemService(PowerManager::class.java)
        return DeviceFacts(
            Build.MANUFACTURER, Build.MODEL, if (Build.VERSION.SDK_INT >= 31) Newer.soc() else null, abi, Build.VERSION.SDK_INT,
            Runtime.getRuntime().availableProcessors(), battery(context),
            if (Build.VERSION.SDK_INT >= 29 && power != null) Newer.thermal(power) else null, power?.isPowerSaveMode,
        )
    }

    fun memory() = MemoryFacts(Debug.getPss(), Debug.getNativeHeapAllocatedSize() / 1024)

    fun version(context: Context): String = context.packageManager.getPackageInfo(context.packageName, 0).versionName ?: ""

    private fun battery(context: Context): Int? {
        val said = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED)) ?: return null
        val level = said.getIntExtra(BatteryManager.EXTRA_LEVEL, -1)
        val scale = said.getIntExtra(BatteryManager.EXTRA_SCALE, -1)
        return if (level >= 0 && scale > 0) 100 * level / scale else null
    }
}
